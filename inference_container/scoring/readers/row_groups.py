"""How row groups of Parquet become batches: through all columns at once, or a few columns at a time.

Who goes through all columns batch by batch holds for each of them a page as it is stored, the same page decoded, and
the dictionary: two megabytes a column with what writers usually make, however few rows a batch has. A row group that
takes no more than that is better decoded a few columns at a time. Measured with 31 columns of 100,000 doubles: 32 MB
instead of 67 MB, and three quarters of the CPU time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from scoring.columns.widths import decoded_width, fixed_width

_LITTLE = 8 << 20
"""Bytes that are not worth to be saved."""
_PAGE_BYTES = 1 << 20
"""At which writers end a page, and a dictionary."""
_MOST_ROWS_OF_TEXT = 1 << 18
"""What text takes is a guess, so no more rows of it are decoded at once."""


@dataclass(frozen=True)
class _Column:
    name: str
    stored: float
    """Bytes a row, uncompressed."""
    decoded: float
    """The same in memory."""
    has_fixed_width: bool


class RowGroups:
    """Reads columns of a file's row groups."""

    def __init__(self, schema: pa.Schema, group_rows: Sequence[int], stored_bytes: dict[str, int]) -> None:
        self._types = {field.name: field.type for field in schema}
        self._rows = group_rows
        self._stored = stored_bytes
        self._total = max(1, sum(group_rows))

    def batches(
        self, file: Any, groups: Sequence[int], names: Sequence[str], rows: int, *, use_threads: bool
    ) -> Iterator[pa.RecordBatch]:
        """Batches of at most `rows` rows of these row groups of a `ParquetFile`, in order."""
        columns = [self._column(name) for name in names]
        through: list[int] = []
        for group in groups:
            if not self._by_columns(columns, self._rows[group]):
                through.append(group)
                continue
            yield from _through(file, through, names, rows, use_threads)
            through = []
            yield from self._decoded(file, group, columns, use_threads).to_batches(max_chunksize=rows)
        yield from _through(file, through, names, rows, use_threads)

    def _column(self, name: str) -> _Column:
        stored, kind = self._stored.get(name, 0) / self._total, self._types[name]
        return _Column(name, stored, decoded_width(kind, stored), bool(fixed_width(kind)))

    def _by_columns(self, columns: Sequence[_Column], rows: int) -> bool:
        """Whether a row group of so many rows is to be decoded a few columns at a time."""
        decoded = rows * sum(column.decoded for column in columns)
        if decoded <= _LITTLE or decoded > sum(_pages(column, rows) for column in columns):
            return False
        return rows <= _MOST_ROWS_OF_TEXT or all(column.has_fixed_width for column in columns)

    def _decoded(self, file: Any, group: int, columns: Sequence[_Column], use_threads: bool) -> pa.Table:
        arrays: list[pa.ChunkedArray] = []
        fields: list[pa.Field] = []
        for few in _few_at_a_time(columns, self._rows[group]):
            table = file.read_row_group(group, columns=few, use_threads=use_threads)
            arrays += table.columns
            fields += table.schema
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _through(file: Any, groups: list[int], names: Sequence[str], rows: int, use_threads: bool) -> Iterator[Any]:
    if not groups:
        return iter(())
    return iter(file.iter_batches(batch_size=rows, row_groups=groups, columns=list(names), use_threads=use_threads))


def _pages(column: _Column, rows: int) -> float:
    """What is held of a column while its pages are read."""
    return 2 * min(column.stored * rows, _PAGE_BYTES)


def _few_at_a_time(columns: Sequence[_Column], rows: int) -> Iterator[list[str]]:
    few: list[str] = []
    held = 0.0
    for column in columns:
        few.append(column.name)
        held += _pages(column, rows)
        if held >= _LITTLE:
            yield few
            few, held = [], 0.0
    if few:
        yield few
