"""Prediction columns on their way: encoded as pieces of row groups, in memory or in a file that vanishes by itself.

A column's pages of one row group must lie in one stretch, but predictions come for all columns together, batch by
batch. Holding a row group's worth of them would bind memory to the input's row groups, which may have millions of
rows. So each piece of at most a few megabytes is written as a row group of its own, without dictionaries: pages that
need nothing but themselves can be put behind one another later.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.columns.widths import fixed_width
from scoring.splice.footer.parsed_footer import Footer, parse_footer, read_footer
from scoring.splice.ranges import append, append_range

_MOST_ROWS = 65_536
_FEWEST_ROWS = 1_024
_PIECE_BYTES = 8 << 20
_TEXT_BYTES = 16
"""What a value of no fixed width is taken for."""
_BYTES_IN_MEMORY = 1 << 20
"""Of all pieces of an object: a file for less costs more than all the rest of them."""


def piece_rows(columns: Sequence[pa.Field]) -> int:
    """How many rows a full piece of these columns has."""
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _PIECE_BYTES // max(1, sum(map(_width, columns)))))


@dataclass(frozen=True)
class FinishedPieces:
    """All pieces as one Parquet file, in memory or on disk."""

    content: memoryview | BinaryIO
    footer: Footer
    """Of this file: one row group a piece."""
    counts: tuple[int, ...]
    """How many pieces each row group of the input got."""

    def read(self, start: int, size: int) -> bytes:
        if isinstance(self.content, memoryview):
            return bytes(self.content[start : start + size])
        return os.pread(self.content.fileno(), size, start)

    def append_to(self, target: FileIO, start: int, size: int) -> None:
        """Copy a range to the place where an unbuffered file stands."""
        if isinstance(self.content, memoryview):
            append(target, self.content[start : start + size])
        else:
            append_range(self.content.fileno(), target.fileno(), start, size)


class Pieces:
    """Takes columns in batches of any size, and cuts them by row number alone, so that equal rows give equal bytes."""

    def __init__(self, path: Path, columns: Sequence[pa.Field], group_rows: Sequence[int], *, page_index: bool) -> None:
        self._counts = [0] * len(group_rows)
        self._schema = pa.schema(list(columns))
        self._group_rows = group_rows
        self._piece_rows = piece_rows(columns)
        self._group = 0
        self._written = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._sink: Any
        self._file: BinaryIO | None = None
        if sum(group_rows) * sum(map(_width, columns)) <= _BYTES_IN_MEMORY:
            self._sink = pa.BufferOutputStream()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            try:
                self._file = path.open("rb", buffering=0)
            finally:
                # Nobody else needs its name, and without one nothing is left behind by a process that is killed.
                path.unlink()
        self._writer = pq.ParquetWriter(
            self._sink, self._schema, use_dictionary=False, compression="snappy", write_page_index=page_index
        )
        self._close_empty_groups()

    def write(self, columns: list[pa.Array]) -> None:
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        at = 0
        while at < batch.num_rows:
            rows = min(self._missing_rows(), batch.num_rows - at)
            self._waiting.append(batch.slice(at, rows))
            self._waiting_rows += rows
            at += rows
            if not self._missing_rows():
                self._write_piece()

    def finish(self) -> FinishedPieces:
        self._writer.close()
        if self._file is not None:
            self._sink.close()
            return FinishedPieces(self._file, read_footer(self._file), tuple(self._counts))
        data = memoryview(self._sink.getvalue())
        footer = parse_footer(len(data), lambda size, start: bytes(data[start : start + size]))
        return FinishedPieces(data, footer, tuple(self._counts))

    def discard(self) -> None:
        # A writer that failed half-way cannot write its footer; the file goes away all the same.
        with contextlib.suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()
        self._sink.close()
        if self._file is not None:
            self._file.close()

    def _missing_rows(self) -> int:
        """Rows until the piece in hand is full, or its row group at its end."""
        rows_left = self._group_rows[self._group] - self._written
        return min(self._piece_rows, rows_left) - self._waiting_rows

    def _write_piece(self) -> None:
        # As one chunk: pyarrow does not promise that pages do not follow the limits of the batches.
        table = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._counts[self._group] += 1
        self._written += table.num_rows
        self._waiting.clear()
        self._waiting_rows = 0
        if self._written == self._group_rows[self._group]:
            self._group += 1
            self._written = 0
            self._close_empty_groups()

    def _close_empty_groups(self) -> None:
        while self._group < len(self._group_rows) and not self._group_rows[self._group]:
            self._writer.write_table(self._schema.empty_table())
            self._counts[self._group] = 1
            self._group += 1


def _width(field: pa.Field) -> int:
    width = fixed_width(field.type)
    return _TEXT_BYTES if width is None else max(1, int(width))
