"""What custom code's `input_fn` gets and what its `output_fn` may give: the bodies of SageMaker's requests."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_ANSWER_FIELDS = ("predictions", "instances", "outputs", "scores")
"""Where JSON answers of the usual servers keep their list."""


def write_request(frame: Any, content_type: str) -> Any:
    """A batch as the body of a request.

    `text/csv` without a header and with empty cells for nulls, as Batch Transform sends it; `application/json` as a
    list of rows; `application/x-npy` as a matrix of float64.
    """
    if content_type == "application/json":
        return json.dumps(frame.astype(object).where(frame.notna(), None).to_numpy().tolist())
    if content_type == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, frame.to_numpy(dtype=np.float64), allow_pickle=False)
        return buffer.getvalue()
    return frame.to_csv(header=False, index=False)


def read_answer(answer: Any, accept: str, rows: int, columns: int) -> Any:
    """Rows by output columns, out of what `output_fn` or `predict_fn` gave.

    Arrays, DataFrames, Series and lists are taken as they are; text and bytes are read as `accept`, or as the content
    type that comes with them (a pair, or an object with `response` and `mimetype`).
    """
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str):
        answer, accept = answer
    elif hasattr(answer, "response") and hasattr(answer, "mimetype"):
        answer, accept = answer.response, str(answer.mimetype)
        if isinstance(answer, (list, tuple)) and len(answer) == 1:
            answer = answer[0]
    if isinstance(answer, (str, bytes, bytearray)):
        answer = _parse(answer, accept.partition(";")[0].strip().lower())
    if isinstance(answer, Mapping):
        answer = _list_of(answer)
    array = np.asarray(answer.to_numpy() if hasattr(answer, "to_numpy") else answer)
    # A list of one-element lists, or one row for a batch of one: the shape that was meant is clear.
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


def _list_of(answer: Mapping[Any, Any]) -> Any:
    for name in _ANSWER_FIELDS:
        if name in answer:
            return answer[name]
    raise ValueError(
        f"output_fn gave a JSON object with {sorted(map(str, answer))}, expected a list, or one of "
        f"{', '.join(_ANSWER_FIELDS)} with it"
    )


def _value(cell: str) -> Any:
    cell = cell.strip().strip('"')
    try:
        return float(cell)
    except ValueError:
        return cell
