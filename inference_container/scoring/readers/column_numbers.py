"""What a Parquet footer says about each column: the bytes of its pages, and how many values are null.

pyarrow knows both, but it ends the process if a column chunk's statistics, type or encryption are
damaged. Field numbers are those of parquet.thrift in apache/parquet-format.
"""

from collections.abc import Mapping

from contract.dataset.thrift_compact import I64, Parser, ThriftError, fields, integer, list_elements
from scoring.splice.footer.chunk_pattern import STATISTICS, UNCOMPRESSED, USUAL_CHUNK

_GROUPS = 4
"""Field of FileMetaData."""
_CHUNKS = 1
"""Field of RowGroup."""
_METADATA = 3
"""Field of ColumnChunk."""
_BYTES, _STATISTICS = 6, 12
"""Fields of ColumnMetaData: the bytes of its pages before compression, and its statistics."""
_NULLS = 3
"""Field of Statistics."""
_STOP_BYTES = 1
"""Bytes of the mark that ends a struct."""


class ColumnNumbers:
    """Sums over the row groups of a footer, by the index of the column that holds values."""

    def __init__(self, footer: bytes, columns: int) -> None:
        """Parse a footer whose schema has `columns` columns that hold values.

        Raises:
            ThriftError: It cannot be parsed, a row group has another number of columns, or a size
                is negative.
        """
        self.stored_bytes = [0] * columns
        self.nulls: list[int | None] = [0] * columns
        """Numbers of null values; None for a column of which a row group does not record it."""
        self._column = 0
        self._chunk_nulls: int | None = None
        for _ in fields(footer, parsers={_GROUPS: self._groups}):
            pass

    def _groups(self, data: bytes, at: int) -> int:
        return list_elements(data, at, self._group)[2]

    def _group(self, data: bytes, at: int) -> int:
        self._column = 0
        end = _end_of_struct(data, at, {_CHUNKS: self._chunks})
        if self._column != len(self.nulls):
            raise ThriftError(f"a row group has {self._column:,} columns, the schema has {len(self.nulls):,}")
        return end

    def _chunks(self, data: bytes, at: int) -> int:
        return list_elements(data, at, self._chunk)[2]

    def _chunk(self, data: bytes, at: int) -> int:
        if self._column == len(self.nulls):
            raise ThriftError(f"a row group has more columns than the schema, which has {self._column:,}")
        self._chunk_nulls = None
        if usual := USUAL_CHUNK.match(data, at):
            self._add_bytes(integer(data, usual.start(UNCOMPRESSED)))
            self._statistics(data, usual.start(STATISTICS))
            end = usual.end()
        else:
            end = _end_of_struct(data, at, {_METADATA: self._metadata})
        before = self.nulls[self._column]
        self.nulls[self._column] = None if before is None or self._chunk_nulls is None else before + self._chunk_nulls
        self._column += 1
        return end

    def _metadata(self, data: bytes, at: int) -> int:
        last = at
        for field, kind, start, end in fields(data, at, {_STATISTICS: self._statistics}):
            last = end
            if field == _BYTES and kind == I64:
                self._add_bytes(integer(data, start))
        return last + _STOP_BYTES

    def _add_bytes(self, size: int) -> None:
        if size < 0:
            raise ThriftError(f"a column chunk has {size:,} bytes")
        self.stored_bytes[self._column] += size

    def _statistics(self, data: bytes, at: int) -> int:
        last = at
        for field, kind, start, end in fields(data, at):
            last = end
            if field == _NULLS and kind == I64:
                count = integer(data, start)
                self._chunk_nulls = count if count >= 0 else None
        return last + _STOP_BYTES


def _end_of_struct(data: bytes, at: int, parsers: Mapping[int, Parser]) -> int:
    last = at
    for _, _, _, end in fields(data, at, parsers):
        last = end
    return last + _STOP_BYTES
