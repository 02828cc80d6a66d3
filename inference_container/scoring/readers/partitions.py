"""Adds columns from an object's key, such as `carrier=UA/`, to its rows.

A file may have such a column too. Its column is kept then, and compared with the key in every row.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contract.dataset.feature_types import parse_feature_type
from contract.dataset.partitions import partition_values
from contract.job.job_input import JobInput
from scoring.columns.arrow_types import arrow_type
from scoring.columns.column_plan import field_from_key
from scoring.errors import DataError
from scoring.readers.input_object import InputBatch, InputObject
from scoring.readers.text.cell_types import cast_cells, text_array

_REMEDY = "correct the column or move the object, or remove the name from the record's partition_columns"


class PartitionedObject:
    """An object with the columns of its key.

    Those that its file does not have come last, and have one value for all rows.
    """

    def __init__(self, source: InputObject, wanted: JobInput) -> None:
        self._source = source
        self.key = source.key
        self.kind = source.kind
        self.notes = source.notes
        try:
            values = partition_values(self.key, wanted.partition_columns)
        except ValueError as error:
            raise DataError(f"object {self.key!r}: {error}") from error
        own = {name: value for name, value in values.items() if name in source.schema.names}
        self._compared = {name: _Comparison(self.key, name, value, wanted.types) for name, value in own.items()}
        self._constants = {
            name: _constant(self.key, name, value, wanted.types) for name, value in values.items() if name not in own
        }
        self._fields = [field_from_key(name, array.type) for name, array in self._constants.items()]
        self.schema = self._with_constants()

    @property
    def absent(self) -> frozenset[str]:
        return self._source.absent

    @property
    def rows(self) -> int | None:
        return self._source.rows

    def __enter__(self) -> "PartitionedObject":
        self._source.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._source.__exit__()

    def batches(
        self, rows: int, columns: frozenset[str], *, use_threads: bool, groups: tuple[int, int] | None = None
    ) -> Iterator[InputBatch]:
        # At least one column of the object is read, to count its rows.
        own = (columns - self._constants.keys()) | self._compared.keys() or frozenset(self._source.schema.names[:1])
        for item in self._source.batches(rows, own, use_threads=use_threads, groups=groups):
            batch = item.batch
            for name, comparison in self._compared.items():
                comparison.check(item, batch.column(batch.schema.names.index(name)))
            arrays = [pa.repeat(constant[0], batch.num_rows) for constant in self._constants.values()]
            schema = pa.schema([*batch.schema, *self._fields], metadata=batch.schema.metadata)
            yield replace(item, batch=pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=schema))

    def choose_types(self, columns: frozenset[str]) -> bool:
        changed = self._source.choose_types(columns - self._constants.keys())
        if changed:
            self.schema = self._with_constants()
        return changed

    def _with_constants(self) -> pa.Schema:
        schema = self._source.schema
        return pa.schema([*schema, *self._fields], metadata=schema.metadata)

    def group_rows(self) -> list[int]:
        return self._source.group_rows()

    def null_counts(self, names: list[str]) -> dict[str, int]:
        counts = self._source.null_counts([name for name in names if name not in self._constants])
        # All rows share the value, so 1 or 0 is enough.
        return counts | {name: self._constants[name].null_count for name in names if name in self._constants}

    def text_columns(self) -> list[str]:
        text = [name for name, array in self._constants.items() if pa.types.is_string(array.type)]
        return [*self._source.text_columns(), *text]

    def stored_bytes(self) -> dict[str, int]:
        return self._source.stored_bytes()


class _Comparison:
    """Compares a column of an object's file with the value that its key has for it.

    Both are compared in the type that the record declares, else in the column's. So 07 is 7 for
    numbers, and another value for texts. Floating-point columns are compared in their own
    precision.
    """

    def __init__(self, key: str, name: str, value: str | None, types: Mapping[str, str]) -> None:
        self._key, self._name, self._value = key, name, value
        self._declared = arrow_type(types[name]) if name in types else None
        self._expected: dict[pa.DataType, pa.Array] = {}

    def check(self, item: InputBatch, column: pa.Array) -> None:
        """Raise DataError if a row has another value than the key."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self._declared not in (None, column.type) and not pa.types.is_floating(column.type):
            # Otherwise compared as it is. Whether the model can read the column is checked elsewhere.
            with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
                column = self._in_declared_type(column)
        same = _same(column, self._expected_of(column.type))
        if not bool(same.all()):
            index = int(np.argmin(same))
            raise DataError(
                f"object {self._key!r}: row {item.number(index):,} has another value in column {self._name!r} than the "
                f"object's key, and partition_columns names the column: {_REMEDY}",
                f"row {item.number(index):,}: {column[index]}",
            )

    def _in_declared_type(self, column: pa.Array) -> pa.Array:
        """Return the column in the declared type; texts are read like the cells of CSV."""
        if not pa.types.is_string(column.type):
            return column.cast(self._declared)
        found, bad = cast_cells(column, str(self._declared))
        return column if bad else found

    def _expected_of(self, kind: pa.DataType) -> pa.Array:
        """Return the key's value in a column's type, as an array of one element."""
        if kind not in self._expected:
            self._expected[kind] = self._parsed(kind)
        return self._expected[kind]

    def _parsed(self, kind: pa.DataType) -> pa.Array:
        if self._value is None:
            return pa.nulls(1, kind)
        text = text_array([self._value])
        if parse_feature_type(str(kind)) is not None:
            array, bad = cast_cells(text, str(kind))
        else:
            bad = []
            try:
                array = text.cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                bad = [0]
        if bad:
            raise DataError(
                f"object {self._key!r}: its key says {self._name}={self._value!r}, which is no {kind}, the type of the "
                f"object's column {self._name!r}: {_REMEDY}"
            )
        return array


def _same(column: pa.Array, expected: pa.Array) -> Any:
    """Return a mask of the rows that equal the one expected value; two nulls or two NaN are equal."""
    if expected.null_count:
        return _mask(column.is_null())
    same = pc.equal(column, expected[0])
    if pa.types.is_floating(column.type) and bool(_mask(pc.is_nan(expected))[0]):
        same = pc.is_nan(column)
    return _mask(pc.and_kleene(same, column.is_valid()))


def _mask(values: pa.Array) -> Any:
    return values.to_numpy(zero_copy_only=False)


def _constant(key: str, name: str, value: str | None, types: Mapping[str, str]) -> pa.Array:
    declared = types.get(name, "string")
    if value is None:
        return pa.nulls(1, arrow_type(declared))
    array, bad = cast_cells(text_array([value]), declared)
    if bad:
        raise DataError(
            f"object {key!r}: its key says {name}={value!r}, but the record expects {declared}: move the object, or "
            "register a version whose feature has the type of these values"
        )
    return array
