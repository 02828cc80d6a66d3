"""The output's new column chunks: where their pages go, and how the footer describes them."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.dataset.thrift_compact import (
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    Value,
    i32,
    i64,
    integer,
    read_integer,
    read_list,
    read_struct,
    write_integer,
    write_list,
    write_struct,
)
from scoring.splice.footer.chunk_pattern import CHUNK_OFFSET, DATA_PAGE, OFFSET_INDEX, USUAL_CHUNK, decoded_numbers
from scoring.splice.footer.parsed_footer import ChunkField, ColumnField
from scoring.splice.footer.statistics import Order, merged_statistics

_PAGE_KIND, _ENCODING, _PAGE_COUNT = 1, 2, 3
_UNENCODED_BYTES = 1
_LEVEL_HISTOGRAMS = (2, 3)


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """A column chunk of the encoded predictions, one of those that make up an output chunk.

    There may be 100,000 of them, so each keeps little.
    """

    raw: bytes
    """Its ColumnChunk."""
    rows: int
    start: int
    """Offset of its first page in the encoded predictions."""
    size: int
    """Bytes of its pages."""
    uncompressed: int

    @classmethod
    def parse(cls, raw: bytes, rows: int) -> "ChunkPart":
        if usual := USUAL_CHUNK.fullmatch(raw):
            _, uncompressed, size, start, *_ = decoded_numbers(usual)
            return cls(raw, rows, start, size, uncompressed)
        column = _column_metadata(raw)
        wanted = (ColumnField.DATA_PAGE, ColumnField.COMPRESSED_BYTES, ColumnField.BYTES)
        return cls(raw, rows, *(read_integer(column[field]) for field in wanted))

    def index_range(self, field: int) -> tuple[int, int] | None:
        """Return the offset and size of its offset or column index, None without one."""
        chunk = read_struct(self.raw)
        if field not in chunk:
            return None
        return read_integer(chunk[field]), read_integer(chunk[field + 1])


@functools.lru_cache(maxsize=64)
def _column_metadata(raw: bytes) -> Struct:
    """Return a ColumnChunk's description, which is parsed once for its place and once more to encode it."""
    return read_struct(read_struct(raw)[ChunkField.METADATA].raw)


@dataclass(frozen=True)
class OutputChunk:
    """A new column chunk of the output, made of parts whose pages follow each other."""

    parts: tuple[ChunkPart, ...]
    start: int
    """Offset of its first page in the output."""

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def uncompressed(self) -> int:
        return sum(part.uncompressed for part in self.parts)

    def shifts(self) -> Iterator[int]:
        """Yield how far each part moves from the encoded predictions to the output, in bytes."""
        offset = self.start
        for part in self.parts:
            yield offset - part.start
            offset += part.size

    def encode(self, order: Order | None, indexes: Struct) -> bytes:
        """Return its ColumnChunk, with the fields `indexes` that refer to its page indexes."""
        if len(self.parts) == 1 and not indexes and (moved := self._moved_part()):
            return moved
        columns = [_column_metadata(part.raw) for part in self.parts]
        column = dict(columns[0])
        if len(columns) > 1:
            values = [read_integer(each[ColumnField.VALUES]) for each in columns]
            column[ColumnField.VALUES] = i64(sum(values))
            column[ColumnField.BYTES] = i64(self.uncompressed)
            column[ColumnField.COMPRESSED_BYTES] = i64(self.size)
            encodings = dict.fromkeys(raw for each in columns for raw in read_list(each[ColumnField.ENCODINGS], I32))
            column[ColumnField.ENCODINGS] = Value(LIST, write_list(I32, list(encodings)))
            _replace(column, ColumnField.STATISTICS, _statistics(columns, values, order))
            _replace(column, ColumnField.ENCODING_STATS, _encoding_stats(columns))
            _replace(column, ColumnField.SIZE_STATISTICS, _size_statistics(columns))
        # Writers give 0 as the offset of a chunk without pages.
        column[ColumnField.DATA_PAGE] = i64(self.start if self.size else 0)
        chunk = {
            ChunkField.FILE_OFFSET: i64(0),
            ChunkField.METADATA: Value(STRUCT, write_struct(column)),
            **indexes,
        }
        return write_struct(chunk)

    def _moved_part(self) -> bytes | None:
        """Return the ColumnChunk of the only part at its new place; None if its layout is not the usual one.

        Small objects have only such chunks, and this is faster than to parse and encode them.
        """
        raw = self.parts[0].raw
        usual = USUAL_CHUNK.fullmatch(raw)
        if usual is None or usual[OFFSET_INDEX] is not None:
            return None
        (begin, end), (first, last) = usual.span(CHUNK_OFFSET), usual.span(DATA_PAGE)
        place = write_integer(self.start if self.size else 0)
        return b"".join((raw[:begin], b"\x00", raw[end:first], place, raw[last:]))


def _replace(struct: Struct, field: int, value: Value | None) -> None:
    if value is not None:
        struct[field] = value
    else:
        struct.pop(field, None)


def _statistics(columns: Sequence[Struct], values: Sequence[int], order: Order | None) -> Value | None:
    found = [column.get(ColumnField.STATISTICS) for column in columns]
    structs = [read_struct(value.raw) for value in found if value is not None]
    if len(structs) != len(found):
        return None
    return Value(STRUCT, write_struct(merged_statistics(structs, values, order)))


def _encoding_stats(columns: Sequence[Struct]) -> Value | None:
    """Add up the number of pages per page type and encoding."""
    counts: dict[tuple[int, int], int] = {}
    for column in columns:
        if ColumnField.ENCODING_STATS not in column:
            return None
        for raw in read_list(column[ColumnField.ENCODING_STATS], STRUCT):
            struct = read_struct(raw)
            kind = read_integer(struct[_PAGE_KIND]), read_integer(struct[_ENCODING])
            counts[kind] = counts.get(kind, 0) + read_integer(struct[_PAGE_COUNT])
    stats = [
        write_struct({field: i32(value) for field, value in enumerate((*kind, count), 1)})
        for kind, count in counts.items()
    ]
    return Value(LIST, write_list(STRUCT, stats))


def _size_statistics(columns: Sequence[Struct]) -> Value | None:
    """Add up the bytes of text before encoding and the histograms of levels."""
    found = [column.get(ColumnField.SIZE_STATISTICS) for column in columns]
    structs = [read_struct(value.raw) for value in found if value is not None]
    if len(structs) != len(found):
        return None
    out: Struct = {}
    if all(_UNENCODED_BYTES in struct for struct in structs):
        out[_UNENCODED_BYTES] = i64(sum(read_integer(struct[_UNENCODED_BYTES]) for struct in structs))
    for field in _LEVEL_HISTOGRAMS:
        if all(field in struct for struct in structs):
            counts = [[integer(raw) for raw in read_list(struct[field], I64)] for struct in structs]
            sums = [write_integer(sum(level)) for level in zip(*counts, strict=True)]
            out[field] = Value(LIST, write_list(I64, sums))
    return Value(STRUCT, write_struct(out))
