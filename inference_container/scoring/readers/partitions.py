"""Adds columns from an object's key, such as `carrier=UA/`, to its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from contract.dataset.partitions import partition_values
from contract.job.job_input import JobInput
from scoring.columns.arrow_types import arrow_type
from scoring.errors import DataError
from scoring.readers.input_object import InputBatch, InputObject
from scoring.readers.text.cell_types import cast_cells, text_array


class PartitionedObject:
    """An object with additional columns, last in order, that have one value for all rows."""

    def __init__(self, source: InputObject, wanted: JobInput) -> None:
        self._source = source
        self.key = source.key
        self.kind = source.kind
        self.notes = source.notes
        try:
            values = partition_values(self.key, wanted.partition_columns)
        except ValueError as error:
            raise DataError(f"object {self.key!r}: {error}") from error
        own = [name for name in values if name in source.schema.names]
        if own:
            raise DataError(
                f"object {self.key!r} has the columns {own}, which partition_columns also takes from its key: "
                "remove them from the object, or from the record's partition_columns"
            )
        self._constants = {name: _constant(self.key, name, value, wanted.types) for name, value in values.items()}
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
        own = columns - self._constants.keys() or frozenset(self._source.schema.names[:1])
        for item in self._source.batches(rows, own, use_threads=use_threads, groups=groups):
            batch = item.batch
            arrays = [pa.repeat(constant[0], batch.num_rows) for constant in self._constants.values()]
            fields = [pa.field(name, array.type) for name, array in self._constants.items()]
            schema = pa.schema([*batch.schema, *fields], metadata=batch.schema.metadata)
            yield replace(item, batch=pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=schema))

    def choose_types(self, columns: frozenset[str]) -> bool:
        changed = self._source.choose_types(columns - self._constants.keys())
        if changed:
            self.schema = self._with_constants()
        return changed

    def _with_constants(self) -> pa.Schema:
        schema = self._source.schema
        for name, array in self._constants.items():
            schema = schema.append(pa.field(name, array.type))
        return schema

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
