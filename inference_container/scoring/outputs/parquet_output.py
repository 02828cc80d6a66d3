"""Parquet output that is encoded from decoded columns, where the input's bytes cannot be copied."""

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.files.digests import NOTHING, PrefixDigest


class EncodedParquetWriter:
    """Writes an output object in row groups of `group_rows` rows, whatever the batch size.

    A retry with smaller batches therefore gives the same bytes, and memory is bounded by one row
    group. `dictionary_columns` are Parquet column paths. Only text gains from dictionary encoding;
    for numbers it costs more than all other encoding work together.
    """

    def __init__(self, path: Path, schema: pa.Schema, dictionary_columns: list[str], group_rows: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, use_dictionary=dictionary_columns or False, compression="snappy")
        self._schema = schema
        self._group_rows = group_rows
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0

    def prefix_digest(self) -> PrefixDigest:
        """Return the digest of no bytes: none is known."""
        return NOTHING

    def write(self, columns: list[Any]) -> None:
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self.rows += table.num_rows
        start = 0
        while self._waiting_rows + table.num_rows - start >= self._group_rows:
            stop = start + self._group_rows - self._waiting_rows
            self._waiting.append(table.slice(start, stop - start))
            self._write_group()
            start = stop
        if start < table.num_rows:
            self._waiting.append(table.slice(start))
            self._waiting_rows += table.num_rows - start

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()

    def discard(self) -> None:
        """Close and delete the file. Idempotent."""
        # A writer that failed midway cannot write its footer; the file is deleted anyway.
        with contextlib.suppress(OSError, ValueError):
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _write_group(self) -> None:
        table = self._waiting[0]
        if len(self._waiting) > 1:
            # One contiguous chunk: otherwise page boundaries would depend on batch boundaries.
            table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        self._writer.write_table(table, row_group_size=table.num_rows)
