"""Encodes the prediction columns in parts of row groups, in memory or in an unnamed temporary file.

The pages of a column chunk must be contiguous, but predictions arrive in batches of all columns.
Buffering whole row groups would tie memory to the input's row groups, which may have millions of
rows. Instead, each part of at most a few megabytes is encoded as a row group of a temporary Parquet
file. Dictionaries are off, so that the pages of several parts can be concatenated.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.columns.widths import fixed_width
from scoring.files.ranges import append, append_range
from scoring.splice.footer.parsed_footer import Footer, parse_footer, read_footer

_MAX_ROWS = 65_536
_MIN_ROWS = 1_024
_PART_BYTES = 8 << 20
_TEXT_BYTES = 16
"""Assumed bytes per value of a type without a fixed width."""
_MAX_BYTES_IN_MEMORY = 1 << 20
"""Most bytes of predictions to encode in memory, where a file would cost too much time."""


def rows_per_part(columns: Sequence[pa.Field]) -> int:
    """Return the number of rows of a full part of these columns."""
    return min(_MAX_ROWS, max(_MIN_ROWS, _PART_BYTES // max(1, sum(map(_width, columns)))))


@dataclass(frozen=True)
class EncodedPredictions:
    """The encoded predictions as a Parquet file, in memory or on disk."""

    content: memoryview | BinaryIO
    footer: Footer
    """The footer of this file, which has one row group per part."""
    part_counts: tuple[int, ...]
    """Number of parts per row group of the input."""
    has_page_index: bool

    def read(self, start: int, size: int) -> bytes:
        if isinstance(self.content, memoryview):
            return bytes(self.content[start : start + size])
        return os.pread(self.content.fileno(), size, start)

    def append_to(self, target: FileIO, start: int, size: int) -> None:
        """Copy a byte range to the position of an unbuffered file."""
        if isinstance(self.content, memoryview):
            append(target, self.content[start : start + size])
        else:
            append_range(self.content.fileno(), target.fileno(), start, size)


class PartFile:
    """The Parquet file into which parts are encoded, a row group each. Outputs may share one in memory."""

    def __init__(self, columns: Sequence[pa.Field], *, page_index: bool, path: Path | None = None) -> None:
        """Without a `path` for the unnamed file, the parts are in memory."""
        self.schema = pa.schema(list(columns))
        self.page_index = page_index
        self._count = 0
        self._finished: tuple[memoryview | BinaryIO, Footer] | None = None
        self._sink: Any
        self._file: BinaryIO | None = None
        if path is None:
            self._sink = pa.BufferOutputStream()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            try:
                self._file = path.open("rb", buffering=0)
            finally:
                # Without a name, the file disappears even if the process is killed.
                path.unlink()
        self._writer = pq.ParquetWriter(
            self._sink, self.schema, use_dictionary=False, compression="snappy", write_page_index=page_index
        )

    def append(self, table: pa.Table) -> int:
        """Encode a part, and return its number."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._count += 1
        return self._count - 1

    def finish(self) -> tuple[memoryview | BinaryIO, Footer]:
        """Complete the file, and return its content and footer. Idempotent."""
        if self._finished is None:
            self._writer.close()
            if self._file is not None:
                self._sink.close()
                self._finished = self._file, read_footer(self._file)
            else:
                data = memoryview(self._sink.getvalue())
                footer = parse_footer(len(data), lambda size, start: bytes(data[start : start + size]))
                self._finished = data, footer
        return self._finished

    def discard(self) -> None:
        """Close the file. Idempotent."""
        # A writer that failed half-way cannot write its footer; the file disappears anyway.
        with contextlib.suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()
        self._sink.close()
        if self._file is not None:
            self._file.close()


class SharedPartFiles:
    """Part files in memory, which all outputs with the same columns share: fewer files, fewer footers."""

    def __init__(self) -> None:
        self._files: dict[tuple[object, ...], PartFile] = {}

    def file(self, columns: Sequence[pa.Field], *, page_index: bool) -> PartFile:
        key = (tuple(columns), page_index)
        if key not in self._files:
            self._files[key] = PartFile(columns, page_index=page_index)
        return self._files[key]


class PredictionChunks:
    """Encoder of prediction columns.

    It takes batches of any size and cuts them by row number alone, so that equal rows give equal
    bytes.
    """

    def __init__(
        self,
        output: Path,
        columns: Sequence[pa.Field],
        group_rows: Sequence[int],
        *,
        page_index: bool,
        shared: SharedPartFiles | None = None,
    ) -> None:
        """The predictions are for the file `output`, beside which a temporary file is."""
        self._part_counts = [0] * len(group_rows)
        self._parts: list[int] = []
        """Numbers of the parts in the file."""
        self._group_rows = group_rows
        self._rows_per_part = rows_per_part(columns)
        self._group = 0
        self._written = 0
        self._buffered: list[pa.RecordBatch] = []
        self._buffered_rows = 0
        fits_in_memory = sum(group_rows) * sum(map(_width, columns)) <= _MAX_BYTES_IN_MEMORY
        self._is_shared = shared is not None and fits_in_memory
        if shared is not None and fits_in_memory:
            self._file = shared.file(columns, page_index=page_index)
        else:
            path = None if fits_in_memory else output.with_name(f"{output.name}.predictions")
            self._file = PartFile(columns, page_index=page_index, path=path)
        self._schema = self._file.schema
        self._close_empty_groups()

    def write(self, columns: list[pa.Array]) -> None:
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        at = 0
        while at < batch.num_rows:
            rows = min(self._missing_rows(), batch.num_rows - at)
            self._buffered.append(batch.slice(at, rows))
            self._buffered_rows += rows
            at += rows
            if not self._missing_rows():
                self._write_part()

    def finish(self) -> EncodedPredictions:
        content, footer = self._file.finish()
        if self._is_shared:
            footer = replace(footer, groups=tuple(footer.groups[part] for part in self._parts))
        return EncodedPredictions(content, footer, tuple(self._part_counts), self._file.page_index)

    def discard(self) -> None:
        if not self._is_shared:
            self._file.discard()

    def _missing_rows(self) -> int:
        """Return the number of rows until the current part or its row group is complete."""
        rows_left = self._group_rows[self._group] - self._written
        return min(self._rows_per_part, rows_left) - self._buffered_rows

    def _write_part(self) -> None:
        # As one chunk: pyarrow does not promise that page boundaries are independent of the
        # batches.
        table = pa.Table.from_batches(self._buffered, self._schema).combine_chunks()
        self._parts.append(self._file.append(table))
        self._part_counts[self._group] += 1
        self._written += table.num_rows
        self._buffered.clear()
        self._buffered_rows = 0
        if self._written == self._group_rows[self._group]:
            self._group += 1
            self._written = 0
            self._close_empty_groups()

    def _close_empty_groups(self) -> None:
        while self._group < len(self._group_rows) and not self._group_rows[self._group]:
            self._parts.append(self._file.append(self._schema.empty_table()))
            self._part_counts[self._group] = 1
            self._group += 1


def _width(field: pa.Field) -> int:
    width = fixed_width(field.type)
    return _TEXT_BYTES if width is None else max(1, int(width))
