"""Validates a model's predictions and converts them to Arrow columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_fields import DEFAULT_OUTPUT_COLUMN
from contract.catalog.model_spec import ModelSpec
from scoring.columns.arrow_types import arrow_type
from scoring.errors import IN_LOG, ConfigurationError, ModelError, describe_error


@dataclass(frozen=True)
class ReadyColumns:
    """Predictions that are columns already."""

    columns: list[pa.Array]
    missing: dict[int, str]
    """Reason per row without a prediction."""

    def first(self, rows: int) -> "ReadyColumns":
        """Return the first rows."""
        missing = {row: reason for row, reason in self.missing.items() if row < rows}
        return ReadyColumns([column.slice(0, rows) for column in self.columns], missing)


def output_fields(
    spec: ModelSpec, types: Sequence[pa.DataType], labels: Sequence[object] | None
) -> tuple[pa.Field, ...]:
    """Return the fields of a model's prediction columns, one per type.

    `types` are those of the model's own predictions; the written ones follow from the record. If the
    record names no columns, they are `prediction_<label>`, or `prediction` without labels.

    Raises ConfigurationError if the record names more or fewer columns or types than the model
    returns.
    """
    names = list(spec.output_columns)
    if not names:
        default = DEFAULT_OUTPUT_COLUMN
        names = [default] if labels is None else [f"{default}_{label}" for label in labels]
    if len(names) != len(types):
        raise ConfigurationError(
            f"model {spec.model_id!r}: output_columns names {len(names)} columns {names}, but {spec.method} gives "
            f"{len(types)}: name them all or none in the model's record"
        )
    if len(set(names)) != len(names):
        raise ConfigurationError(
            f"model {spec.model_id!r}: its classes give prediction columns of the same name {names}: set "
            "output_columns in the model's record"
        )
    return tuple(pa.field(name, kind) for name, kind in zip(names, written_types(spec, types), strict=True))


def written_types(spec: ModelSpec, types: Sequence[pa.DataType]) -> list[pa.DataType]:
    """Return the types that prediction columns are written with.

    Without types in the record, each kind of prediction has one type in Parquet: double, int64 (also
    for booleans) or string. So files of different models can be read as one table. Text has no types,
    and keeps the digits of the model's own.

    Raises ConfigurationError if the record has another number of types.
    """
    declared = spec.output_types
    if not declared:
        return [common_type(kind) for kind in types] if spec.output_format == "parquet" else list(types)
    if len(declared) not in (1, len(types)):
        raise ConfigurationError(
            f"model {spec.model_id!r}: output_types has {len(declared)} types {list(declared)}, but {spec.method} "
            f"gives {len(types)} columns: give one type per column, or one for all, in the model's record"
        )
    written = [arrow_type(name) for name in declared]
    return written * len(types) if len(written) == 1 else written


def common_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that holds all predictions of this kind.

    >>> common_type(pa.float32()), common_type(pa.bool_()), common_type(pa.string())
    (DataType(double), DataType(int64), DataType(string))
    """
    if pa.types.is_floating(kind):
        return pa.float64()
    return pa.int64() if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else kind


def complete_columns(
    spec: ModelSpec, fields: tuple[pa.Field, ...], values: Any, rows: int, first_row: int
) -> list[pa.Array]:
    """Return the columns of `prediction_columns`, with a prediction for every row.

    Raises ModelError also if a row has no prediction, and names the first such row.
    """
    columns, missing = prediction_columns(spec, fields, values, rows)
    if missing:
        row, reason = min(missing.items())
        raise ModelError(f"{reason} for row {first_row + row:,}")
    return columns


def prediction_columns(
    spec: ModelSpec, fields: tuple[pa.Field, ...], values: Any, rows: int
) -> tuple[list[pa.Array], dict[int, str]]:
    """Convert predictions to columns of the types of `fields`.

    Returns the columns, with `rows` values each, and the reason per row without a prediction, by
    row index.

    Raises ModelError if the model returned a wrong number of rows or columns, or values that its
    columns cannot hold without loss.
    """
    if isinstance(values, ReadyColumns):
        return values.columns, values.missing
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ModelError(f"gave predictions of uneven shape ({describe_error(error)}; {IN_LOG})") from error
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.shape != (rows, len(fields)):
        shape = " x ".join(map(str, np.shape(values)))
        raise ModelError(
            f"{spec.method} gave predictions of shape {shape} for {rows:,} rows, expected {rows:,} x {len(fields)} "
            f"for the columns {[field.name for field in fields]}: check method and output_columns in the record"
        )
    missing: dict[int, str] = {}
    columns = [_column(field, array[:, index], missing) for index, field in enumerate(fields)]
    return columns, missing


def _column(field: pa.Field, values: Any, missing: dict[int, str]) -> pa.Array:
    """Convert one column; rows without a prediction go to `missing` and do not count as scored."""
    if values.dtype.kind == "O" and not pa.types.is_string(field.type):
        # Turn NaN objects into None, because the NaN check below only handles float dtypes.
        values = np.array([None if value != value else value for value in values.tolist()], dtype=object)  # noqa: PLR0124
    if values.dtype.kind == "f" and (unknown := np.isnan(values)).any():
        for index in np.flatnonzero(unknown).tolist():
            missing.setdefault(index, f"gave no prediction (NaN) in column {field.name!r}")
        # The placeholder 0 is removed with its row; an integer column could not hold NaN.
        values = np.where(unknown, 0, values)
    try:
        if pa.types.is_string(field.type):
            column = pa.array([_text(value) for value in values.tolist()], pa.string())
        else:
            if values.dtype == np.float32 and pa.types.is_float64(field.type):
                # Arrow would do the same, but importing its functions takes longer than scoring a small object.
                values = values.astype(np.float64)
            column = numeric_column(values)
            column = column if column.type == field.type else column.cast(field.type)
    except (pa.ArrowException, TypeError) as error:
        raise ModelError(
            f"gave predictions of dtype {values.dtype} that do not fit in column {field.name!r} of type {field.type} "
            f"({describe_error(error)}; {IN_LOG})"
        ) from error
    if column.null_count:
        for index, is_null in enumerate(column.is_null().to_pylist()):
            if is_null:
                missing.setdefault(index, f"gave no prediction (None) in column {field.name!r}")
    return column


def numeric_column(values: Any) -> pa.Array:
    """Return a NumPy array as an Arrow column, without a copy if possible."""
    if values.dtype.kind not in "iuf" or values.dtype.itemsize > 8:
        return pa.array(values.tolist() if values.dtype.kind == "O" else np.ascontiguousarray(values))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    # pa.array would import pandas only to check for its types.
    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def _text(value: object) -> str | None:
    # A missing label is None or NaN; str() would return the text 'None' or 'nan'.
    if value is None or value != value:  # noqa: PLR0124
        return None
    return value.decode() if isinstance(value, bytes) else str(value)
