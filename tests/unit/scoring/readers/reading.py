"""Reads whole objects, and checks that each row comes once and in order."""

import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.dataset.input_options import InputOptions
from contract.job.job_input import JobInput
from scoring.errors import LateFieldsError
from scoring.readers import RejectedRow, open_object

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, 1),
    ".zst": lambda content: bytes(pa.compress(content, "zstd", asbytes=True)),
}


@dataclass(frozen=True)
class Read:
    """A whole object: its columns, the row numbers, and the rejected rows."""

    schema: pa.Schema
    table: pa.Table
    numbers: tuple[int, ...]
    rejected: tuple[RejectedRow, ...]
    rows: int
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.table.to_pydict()
        return found

    @property
    def reasons(self) -> dict[int, str]:
        return {row.row: row.reason for row in self.rejected}


def read_object(
    folder: Path,
    key: str,
    content: bytes,
    types: dict[str, str] | None = None,
    *,
    rows: int = 65_536,
    columns: Sequence[str] | None = None,
    partitions: tuple[str, ...] = (),
    use_threads: bool = False,
    **options: Any,
) -> Read:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    keepers = (frozenset(types or ()),) if columns is None else ()
    wanted = JobInput(InputOptions(**options), types or {}, partitions, keepers=keepers)
    try:
        return _read(key, path, wanted, rows, columns, use_threads=use_threads)
    except LateFieldsError:
        return _read(key, path, replace(wanted, finds_all_fields=True), rows, columns, use_threads=use_threads)


def _read(
    key: str, path: Path, wanted: JobInput, rows: int, columns: Sequence[str] | None, *, use_threads: bool
) -> Read:
    batches: list[pa.RecordBatch] = []
    numbers: list[int] = []
    counts: Counter[str] = Counter()
    rejected: list[RejectedRow] = []
    with open_object(key, path, wanted) as source:
        names = source.schema.names if columns is None else columns
        expected = 0
        for item in source.batches(rows, frozenset(names), use_threads=use_threads):
            found = [*item.numbers().tolist(), *(row.row for row in item.rejected)]
            assert sorted(found) == list(range(expected, expected + len(found))), "a row is missing or comes twice"
            assert item.first_row == expected
            assert item.batch.num_rows <= rows
            assert list(item.numbers()) == sorted(item.numbers())
            expected += len(found)
            numbers += item.numbers().tolist()
            rejected += item.rejected
            for reading, count in item.counts.items():
                counts[str(reading)] += count
            item.batch.validate(full=True)
            wide = item.batch if columns is None else item.batch.select(columns)
            batches.append(wide.replace_schema_metadata())
        assert source.rows == expected
        schema = source.schema
    fields = list(schema) if columns is None else [schema.field(name) for name in columns]
    table = pa.Table.from_batches(batches, pa.schema(fields).remove_metadata())
    return Read(schema, table, tuple(numbers), tuple(rejected), expected, dict(counts))
