"""Runs ONNX models with ONNX Runtime; predictions are all outputs of the graph.

The graph takes one matrix of all features in the record's order, or one input per feature, by name.
Its outputs are determined by running it on one row, because a graph need not declare their width.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch, as_numbers
from scoring.columns.predictions import output_fields
from scoring.device import find_device, onnx_providers
from scoring.errors import ModelError, one_line
from scoring.models import check_features
from scoring.models.times import time_notes

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_ERRORS_ONLY = 3


def load(spec: ModelSpec, path: Path) -> "OnnxModel":
    return OnnxModel(spec, open_session(path))


def open_session(path: Path) -> Any:
    """Return a session that runs a graph."""
    options = onnxruntime.SessionOptions()
    # One thread per call, because the threads of the budget predict whole batches concurrently.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    providers = onnx_providers(onnxruntime.get_available_providers(), find_device())
    if "CUDAExecutionProvider" in providers:
        # CUDA's libraries are Python packages, where the provider does not look for them.
        onnxruntime.preload_dlls()
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def names_of(session: Any) -> tuple[list[str] | None, int | None]:
    """Return the features' names if each is an input, and their number if the graph declares it."""
    inputs = session.get_inputs()
    if len(inputs) > 1:
        return [item.name for item in inputs], len(inputs)
    shape = inputs[0].shape
    return None, shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


@dataclass(frozen=True)
class _Output:
    """An output of the graph: one column, or one per label."""

    name: str
    labels: tuple[object, ...] | None
    type: pa.DataType
    mapped: bool = False
    """Whether the value is a list of dicts by label (ZipMap), as from converted classifiers."""


class OnnxModel:
    """A graph whose outputs all become columns, named after the outputs if there are several."""

    notes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, session: Any) -> None:
        self.native = session
        # Sessions are thread-safe, but concurrent batches would multiply the GPU memory.
        self.concurrent = "CUDAExecutionProvider" not in session.get_providers()
        self._inputs = [(item.name, item.type, item.shape) for item in session.get_inputs()]
        unknown = [f"{name!r} of {kind}" for name, kind, _ in self._inputs if kind not in _DTYPES]
        if unknown:
            raise ModelError(f"model {spec.model_id!r}: its inputs {unknown} have types that no column can have")
        self._names = tuple(feature.name for feature in spec.features)
        self._widths = {feature.name: feature.width for feature in spec.features}
        self._one_matrix = self._takes_one_matrix(spec)
        self._check_types(spec)
        try:
            sample = session.run(None, self._sample())
        except Exception as error:
            raise ModelError(
                f"model {spec.model_id!r}: it cannot be run on a row of its {len(self._names)} features "
                f"({one_line(error)}): check features in the record against its inputs {self._described()}"
            ) from error
        self._outputs = [
            _describe(spec, item.name, value) for item, value in zip(session.get_outputs(), sample, strict=True)
        ]
        types = [output.type for output in self._outputs for _ in output.labels or [None]]
        labels: list[object] = []
        for output in self._outputs:
            front = f"{output.name}_" if len(self._outputs) > 1 else ""
            labels += [output.name] if output.labels is None else [f"{front}{label}" for label in output.labels]
        alone = len(self._outputs) == 1 and self._outputs[0].labels is None
        self.outputs = output_fields(spec, types, None if alone else labels)
        if self._one_matrix:
            self.notes = time_notes(spec, _DTYPES[self._inputs[0][1]])

    def predict(self, batch: FeatureBatch) -> Any:
        results = self.native.run(None, self._feed(batch))
        parts = [_block(output, value) for output, value in zip(self._outputs, results, strict=True)]
        if len(parts) == 1:
            return parts[0]
        if any(part.dtype.kind not in "iufb" for part in parts):
            # Text and numbers become one array of objects, in which None marks missing values.
            return np.hstack([_as_objects(part) for part in parts])
        return np.hstack([part.astype(np.float64) for part in parts])

    def _takes_one_matrix(self, spec: ModelSpec) -> bool:
        names = [name for name, _, _ in self._inputs]
        if len(names) == 1 and (len(self._names) > 1 or names != list(self._names)):
            shape = self._inputs[0][2]
            width = shape[-1] if len(shape) == 2 else None
            check_features(spec, None, width if isinstance(width, int) else None)
            return True
        # Inputs are named, so their order does not matter.
        if sorted(names) != sorted(self._names):
            check_features(spec, names, None)
        return False

    def _check_types(self, spec: ModelSpec) -> None:
        kinds = {name: kind for name, kind, _ in self._inputs}
        wrong = []
        for feature in spec.features:
            kind = self._inputs[0][1] if self._one_matrix else kinds[feature.name]
            is_float = _DTYPES[kind] in (np.float16, np.float32, np.float64)
            if (feature.type == "string") != (kind == "tensor(string)") or (feature.is_list and not is_float):
                wrong.append(f"{feature.name!r} is {feature.type}, the graph takes {kind}")
        if wrong:
            raise ModelError(
                f"model {spec.model_id!r}: its features do not fit the graph: {'; '.join(wrong)}: correct features in "
                "the record"
            )

    def _feed(self, batch: FeatureBatch) -> dict[str, Any]:
        if self._one_matrix:
            name, kind, _ = self._inputs[0]
            if kind == "tensor(string)":
                columns = [_texts(*pair) for pair in zip(batch.names, batch.arrays, strict=True)]
                return {name: np.column_stack(columns)}
            matrix = batch.matrix(np.float32 if kind == "tensor(float)" else np.float64)
            return {name: _as_kind(matrix, kind, "features")}
        arrays = dict(zip(batch.names, batch.arrays, strict=True))
        return {name: _column(name, arrays[name], kind, shape) for name, kind, shape in self._inputs}

    def _sample(self) -> dict[str, Any]:
        width = sum(self._widths.values())
        feed = {}
        for name, kind, shape in self._inputs:
            size = (1,) * max(1, len(shape))
            if self._one_matrix or len(shape) == 2:
                size = (1, width if self._one_matrix else self._widths[name])
            text = kind == "tensor(string)"
            feed[name] = np.full(size, "", dtype=object) if text else np.zeros(size, dtype=_DTYPES[kind])
        return feed

    def _described(self) -> str:
        return ", ".join(f"{name!r} {kind} {shape}" for name, kind, shape in self._inputs)


def _describe(spec: ModelSpec, name: str, value: Any) -> _Output:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return _Output(name, tuple(value[0]), pa.float32(), mapped=True)
    array = np.asarray(value)
    shape = array.shape
    if array.dtype.kind not in "iufbOUS" or len(shape) not in (1, 2) or shape[0] != 1:
        raise ModelError(
            f"model {spec.model_id!r}: its output {name!r} has the shape {list(shape)} of {array.dtype} for one row, "
            "expected a value or a list of values per row: leave it out of the graph's outputs"
        )
    text = array.dtype.kind in "OUS"
    kind = pa.string() if text else pa.from_numpy_dtype(array.dtype)
    if kind == pa.float16():
        kind = pa.float32()
    width = 1 if len(shape) == 1 else shape[1]
    return _Output(name, None if width == 1 else tuple(range(width)), kind)


def _block(output: _Output, value: Any) -> Any:
    """Return an output as rows by columns."""
    if output.mapped:
        labels = output.labels or ()
        return np.array([[row[label] for label in labels] for row in value], dtype=np.float32)
    array = np.asarray(value)
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _as_objects(part: Any) -> Any:
    objects = part.astype(object)
    if part.dtype.kind == "f":
        objects[np.isnan(part)] = None
    return objects


def _column(name: str, array: pa.Array, kind: str, shape: list[Any]) -> Any:
    if kind == "tensor(string)":
        values = _texts(name, array)
    else:
        single = FeatureBatch((name,), (array,), frozenset({name}))
        values = _as_kind(single.matrix(np.float64), kind, name)
        if pa.types.is_fixed_size_list(array.type):
            return values
        values = values.reshape(-1)
        array = as_numbers(array)
        if kind == "tensor(int64)" and not array.null_count and pa.types.is_integer(array.type):
            # Directly, because floating point holds whole numbers only up to 2**53.
            values = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values.reshape(-1, 1) if len(shape) == 2 else values


def _as_kind(values: Any, kind: str, name: str) -> Any:
    dtype = _DTYPES[kind]
    if np.dtype(dtype).kind != "f" and (missing := int(np.isnan(values).sum())):
        raise ValueError(f"{name!r} has {missing:,} nulls, and the graph takes {kind}, which has no missing values")
    return values.astype(dtype, copy=False)


def _texts(name: str, array: pa.Array) -> Any:
    if array.null_count:
        raise ValueError(f"{name!r} has {array.null_count:,} nulls, and ONNX has no missing values for text")
    return np.array(array.to_pylist(), dtype=object)
