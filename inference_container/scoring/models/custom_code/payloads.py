"""Bodies of SageMaker's requests and responses, for custom `input_fn` and `output_fn`."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.columns.features import FeatureBatch

_RESPONSE_FIELDS = ("predictions", "instances", "outputs", "scores")
"""Fields in which common model servers put the list of predictions."""


def write_request(batch: FeatureBatch, content_type: str) -> Any:
    """Return a batch as the body of a request.

    `text/csv` has no header and empty cells for nulls, as in Batch Transform; `application/json` is
    a list of rows; `application/x-npy` a matrix of float64. A list is a JSON array in a cell, a list
    in a row, or columns of the matrix.
    """
    if content_type == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, batch.matrix(np.float64), allow_pickle=False)
        return buffer.getvalue()
    frame = batch.frame()
    lists = [
        name for name, array in zip(batch.names, batch.arrays, strict=True) if pa.types.is_fixed_size_list(array.type)
    ]
    for name in lists:
        frame[name] = [None if value is None else value.tolist() for value in frame[name]]
    if content_type == "application/json":
        rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        return json.dumps(rows, default=lambda time: time.isoformat())
    for name in lists:
        frame[name] = [None if value is None else json.dumps(value) for value in frame[name]]
    return frame.to_csv(header=False, index=False)


def read_response(response: Any, accept: str, rows: int, columns: int) -> Any:
    """Return an array of rows by output columns from the result of `output_fn` or `predict_fn`.

    Arrays, DataFrames, Series and lists are used as they are. Text and bytes are parsed as
    content type `accept`. A pair, or an object with `response` and `mimetype`, has its own type.
    """
    if isinstance(response, tuple) and len(response) == 2 and isinstance(response[1], str):
        response, accept = response
    elif hasattr(response, "response") and hasattr(response, "mimetype"):
        response, accept = response.response, str(response.mimetype)
        if isinstance(response, (list, tuple)) and len(response) == 1:
            response = response[0]
    if isinstance(response, (str, bytes, bytearray)):
        response = _parse(response, accept.partition(";")[0].strip().lower())
    if isinstance(response, Mapping):
        response = _list_of(response)
    array = np.asarray(response.to_numpy() if hasattr(response, "to_numpy") else response)
    # A list of one-element lists, or a single row for a batch of one: the intended shape is clear.
    if array.ndim <= 2 and array.size == rows * columns and (columns == 1 or (array.ndim == 1 and rows == 1)):
        return array.reshape(rows, columns)
    return array


def _parse(body: str | bytes | bytearray, content_type: str) -> Any:
    if content_type == "application/x-npy":
        return np.load(io.BytesIO(body if isinstance(body, (bytes, bytearray)) else body.encode()), allow_pickle=False)
    text = body if isinstance(body, str) else bytes(body).decode("utf-8")
    if content_type in ("application/json", "application/json-lines", "application/jsonlines"):
        if content_type == "application/json":
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if content_type in ("text/csv", "text/plain"):
        return [[_value(cell) for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    raise ValueError(
        f"output_fn gave content of type {content_type!r}, expected application/json, text/csv or application/x-npy, "
        "or an array, a DataFrame or a list"
    )


def _list_of(response: Mapping[Any, Any]) -> Any:
    for name in _RESPONSE_FIELDS:
        if name in response:
            return response[name]
    raise ValueError(
        f"output_fn gave a JSON object with {sorted(map(str, response))}, expected a list, or one of "
        f"{', '.join(_RESPONSE_FIELDS)} with it"
    )


def _value(cell: str) -> Any:
    cell = cell.strip().strip('"')
    try:
        return float(cell)
    except ValueError:
        return cell
