"""Models that take tensors. Their signature and a trial run are compared with the record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch, as_numbers
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError, ScoringError, one_line
from scoring.models.times import time_notes

Array = npt.NDArray[Any]
Tensors = Array | dict[str, Array]
"""One matrix of rows by features, or a tensor per feature by name."""
Call = Callable[[Tensors], Mapping[str, Array]]
"""Runs the model and returns its outputs by name; a single output has the name ''."""

_TRIAL_ROWS = 4
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
"""Tolerance for differences between batches, which may affect the last digits only."""


@dataclass(frozen=True)
class TensorInput:
    """An input in the model's signature.

    A shape or size of None is unknown or arbitrary; dtype `object` means text.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: "np.dtype[Any]"

    def __str__(self) -> str:
        sizes = "?" if self.shape is None else ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {'text' if self.dtype.kind == 'O' else self.dtype}[{sizes}]"

    def takes(self, width: int) -> bool:
        """Return whether it takes so many values per row; one also in the shape (rows)."""
        return self.shape is not None and (
            (len(self.shape) == 1 and width == 1) or (len(self.shape) == 2 and self.shape[1] in (width, None))
        )


class Inputs:
    """Converts batches to the model's input tensors.

    A single input of two dimensions gets all features as one matrix, in the record's order.
    Otherwise each input gets the feature of the same name.

    Raises:
        ModelError: The signature contradicts the record.
    """

    def __init__(self, spec: ModelSpec, inputs: Sequence[TensorInput]) -> None:
        self._spec = spec
        names = [feature.name for feature in spec.features]
        self._widths = {feature.name: feature.width for feature in spec.features}
        for tensor in inputs:
            if tensor.shape and tensor.shape[0] is not None:
                raise ModelError(
                    f"model {spec.model_id!r}: its input {tensor} takes exactly {tensor.shape[0]} rows: export it with "
                    "a first dimension of any size (torch.export: dynamic_shapes; Keras and TensorFlow: None)"
                )
        self._matrix = self._columns = None
        if len(inputs) == 1 and self._takes_matrix(inputs[0], self._width):
            self._matrix = inputs[0]
            self._refuse_texts()
        elif sorted(tensor.name for tensor in inputs) == sorted(names) and all(
            tensor.takes(self._widths[tensor.name]) for tensor in inputs
        ):
            self._columns = {tensor.name: tensor for tensor in inputs}
            self._check_kinds()
        else:
            raise ModelError(
                f"model {spec.model_id!r}: it takes {', '.join(map(str, inputs)) or 'nothing'}, its record has "
                f"{len(names)} features {self._described(names)}: expected one input of two dimensions (rows by "
                "features), or one input per feature, of the same name; correct features in the record, or export the "
                "model so"
            )

    @property
    def _width(self) -> int:
        """The number of columns of a matrix of all features."""
        return sum(self._widths.values())

    def _described(self, names: Sequence[str]) -> str:
        if self._width == len(names):
            return str(names)
        return f"with {self._width:,} values ({', '.join(f'{name!r}: {self._widths[name]:,}' for name in names)})"

    def convert(self, batch: FeatureBatch) -> Tensors:
        """Convert a batch to tensors.

        Raises:
            ModelError: There are nulls where the model takes whole numbers or text.
        """
        if self._matrix is not None:
            dtype = self._matrix.dtype
            if dtype.kind == "f":
                return batch.matrix(np.float64 if dtype == np.float64 else np.float32).astype(dtype, copy=False)
            columns = [self._numbers(*pair, dtype) for pair in zip(batch.names, batch.arrays, strict=True)]
            return np.column_stack(columns)
        assert self._columns is not None  # noqa: S101 - either is set
        return {
            name: self._column(name, array, self._columns[name])
            for name, array in zip(batch.names, batch.arrays, strict=True)
        }

    def time_notes(self) -> tuple[str, ...]:
        """Return a note if times lose precision in a matrix."""
        return () if self._matrix is None else time_notes(self._spec, self._matrix.dtype)

    def null_row(self) -> Tensors | None:
        """Return a row with NaN in all nullable floating-point features; None without any."""
        rows = self.trial_rows(1)
        names = [feature.name for feature in self._spec.features]
        nullable = [feature.name for feature in self._spec.features if feature.nullable]
        if not isinstance(rows, dict):
            ends = np.cumsum([self._widths[name] for name in names])
            rows = {name: rows[:, end - self._widths[name] : end] for name, end in zip(names, ends, strict=True)}
        found = [name for name in nullable if rows[name].dtype.kind == "f"]
        for name in found:
            rows[name][:] = np.nan
        if not found:
            return None
        return rows if self._matrix is None else np.concatenate([rows[name] for name in names], axis=1)

    def trial_rows(self, rows: int) -> Tensors:
        """Return rows that any model should accept: floats between 0 and 1, zeros, empty texts."""
        random = np.random.default_rng(0)

        def values(dtype: "np.dtype[Any]", *shape: int) -> Array:
            if dtype.kind == "O":
                return np.full(shape, "", dtype=object)
            return random.random(shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)

        if self._matrix is not None:
            return values(self._matrix.dtype, rows, self._width)
        assert self._columns is not None  # noqa: S101
        return {
            name: values(item.dtype, rows, *[self._widths[name]] * (_rank(item) - 1))
            for name, item in self._columns.items()
        }

    @staticmethod
    def _takes_matrix(tensor: TensorInput, width: int) -> bool:
        return tensor.shape is None or (len(tensor.shape) == 2 and tensor.shape[1] in (width, None))

    def _refuse_texts(self) -> None:
        assert self._matrix is not None  # noqa: S101
        texts = [feature.name for feature in self._spec.features if feature.type == "string"]
        if texts or self._matrix.dtype.kind not in "fiub":
            raise ModelError(
                f"model {self._spec.model_id!r}: it takes {self._matrix}, one matrix of numbers, and its record "
                f"declares {texts} as string: encode text as numbers beforehand, or give the model an input per feature"
            )
        self._refuse_lists({feature.name: self._matrix for feature in self._spec.features})

    def _refuse_lists(self, tensors: Mapping[str, TensorInput]) -> None:
        for feature in self._spec.features:
            if feature.is_list and tensors[feature.name].dtype.kind != "f":
                raise ModelError(
                    f"model {self._spec.model_id!r}: its input is {tensors[feature.name]}, its record declares "
                    f"{feature.name!r} as {feature.type}: export the model with floating-point numbers there"
                )

    def _check_kinds(self) -> None:
        assert self._columns is not None  # noqa: S101
        for feature in self._spec.features:
            tensor = self._columns[feature.name]
            if (feature.type == "string") != (tensor.dtype.kind == "O"):
                raise ModelError(
                    f"model {self._spec.model_id!r}: its input is {tensor}, its record declares {feature.name!r} as "
                    f"{feature.type}: correct the feature's type in the record, or export the model with another"
                )
        self._refuse_lists(self._columns)

    def _column(self, name: str, array: pa.Array, tensor: TensorInput) -> Array:
        if tensor.dtype.kind == "f":
            values = FeatureBatch((name,), (array,), frozenset()).matrix(np.float64).astype(tensor.dtype, copy=False)
            return values if _rank(tensor) == 2 else values.reshape(-1)
        if tensor.dtype.kind == "O":
            self._refuse_nulls(name, array, tensor.dtype)
            values = np.array(array.to_pylist(), dtype=object)
        else:
            values = self._numbers(name, array, tensor.dtype)
        return values.reshape(-1, 1) if _rank(tensor) == 2 else values

    def _numbers(self, name: str, array: pa.Array, dtype: "np.dtype[Any]") -> Array:
        """Convert to whole numbers or booleans; Arrow's cast refuses values out of range."""
        self._refuse_nulls(name, array, dtype)
        if dtype.kind == "b":
            return np.array(array.to_pylist(), dtype=bool)
        return np.asarray(as_numbers(array).cast(pa.from_numpy_dtype(dtype)).to_numpy(zero_copy_only=False))

    def _refuse_nulls(self, name: str, array: pa.Array, dtype: "np.dtype[Any]") -> None:
        if array.null_count:
            kind = "text" if dtype.kind == "O" else str(dtype)
            raise ModelError(
                f"has {array.null_count:,} nulls in feature {name!r}, and the model takes {kind}, which has none: "
                "fill them in the data"
            )


class TensorModel:
    """A model on tensors, which is run on trial rows when it is loaded.

    The trial finds the outputs, which not every file declares. It also refuses models that would
    silently predict wrong values: those whose predictions are random (dropout left on), or depend
    on the other rows of the batch (batch normalization left in training mode).
    """

    def __init__(self, spec: ModelSpec, inputs: Inputs, call: Call, *, concurrent: bool, native: Any = None) -> None:
        self._spec = spec
        self._inputs = inputs
        self._call = call
        self.concurrent = concurrent
        self.native = native
        self.outputs = _output_fields(spec, self._run_trial())
        self.notes: tuple[str, ...] = self._note_nulls() + inputs.time_notes()

    def predict(self, batch: FeatureBatch) -> Any:
        outputs = list(self._call(self._inputs.convert(batch)).values())
        if len(outputs) == 1:
            return outputs[0]
        return np.column_stack([array.reshape(len(array), -1) for array in outputs])

    def _note_nulls(self) -> tuple[str, ...]:
        """Return a note if the model silently predicts numbers for nulls."""
        rows = self._inputs.null_row()
        if rows is None:
            return ()
        try:
            outputs = self._call(rows).values()
        # A model may refuse NaN; rows with nulls are then rejected.
        except Exception:
            return ()
        if any(array.dtype.kind == "f" and np.isnan(array).any() for array in outputs):
            return ()
        note = (
            "predicts numbers also where features are null (NaN): unless it was made for that, declare them nullable: "
        )
        return (f"{note}false, so that such rows are quarantined",)

    def _run_trial(self) -> Mapping[str, Array]:
        spec = self._spec
        rows = self._inputs.trial_rows(_TRIAL_ROWS)
        try:
            first, again = self._call(rows), self._call(rows)
            part, _ = self._call(_first(2, rows)), self._call(_first(1, rows))
        except ScoringError:
            raise
        except Exception as error:
            raise ModelError(
                f"model {spec.model_id!r}: it failed on a trial of 1 to {_TRIAL_ROWS} rows with {len(spec.features)} "
                f"features ({one_line(error)}): check the features in its record, and the model"
            ) from error
        for name, array in first.items():
            output = f"output {name!r}" if name else "output"
            if array.ndim not in (1, 2) or len(array) != _TRIAL_ROWS:
                raise ModelError(
                    f"model {spec.model_id!r}: its {output} has the shape {list(array.shape)} for {_TRIAL_ROWS} rows, "
                    "expected one value or one list of values per row: let the model flatten it"
                )
            if not _same(array, again[name]):
                raise ModelError(
                    f"model {spec.model_id!r}: its {output} differs from call to call for the same rows: export it for "
                    "inference (PyTorch: model.eval() first), without dropout or other random parts"
                )
            if not _same(array[:2], part[name]):
                raise ModelError(
                    f"model {spec.model_id!r}: its {output} for a row depends on other rows of the batch: export it "
                    "for inference (PyTorch: model.eval() first; Keras: training=False), so that batches do not matter"
                )
        return first


def _first(count: int, rows: Tensors) -> Tensors:
    return {name: array[:count] for name, array in rows.items()} if isinstance(rows, dict) else rows[:count]


def _rank(tensor: TensorInput) -> int:
    return len(tensor.shape or ())


def _same(one: Array, other: Array) -> bool:
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    return bool(np.array_equal(one, other))


def _output_fields(spec: ModelSpec, outputs: Mapping[str, Array]) -> tuple[pa.Field, ...]:
    """Return the prediction columns, one per value of a row.

    They are named `prediction` or `prediction_<output>`, with `_<i>` if an output has several
    values.
    """
    if len({array.dtype.kind == "O" for array in outputs.values()}) > 1:
        raise ModelError(
            f"model {spec.model_id!r}: it returns both text and numbers ({sorted(outputs)}): export it with one of them"
        )
    labels: list[str] = []
    for name, array in outputs.items():
        width = 1 if array.ndim == 1 else array.shape[1]
        numbers = [""] if width == 1 else [str(number) for number in range(width)]
        labels += ["_".join(filter(None, (name, number))) for number in numbers]
    arrays = list(outputs.values())
    if arrays[0].dtype.kind == "O":
        kind = pa.string()
    else:
        kind = pa.from_numpy_dtype(np.result_type(*(array.dtype for array in arrays)))
    return output_fields(spec, [kind] * len(labels), None if labels == [""] else labels)
