"""A Parquet file's footer: the parts that a splice needs, and the bytes of everything else.

Field numbers are those of parquet.thrift in apache/parquet-format.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from contract.dataset.thrift_compact import (
    LIST,
    STRUCT,
    Parser,
    Struct,
    ThriftError,
    Value,
    binary,
    end_of_struct,
    fields,
    integer,
    list_elements,
    read_binary,
    read_integer,
    read_list,
    read_struct,
)
from scoring.splice.footer.chunk_pattern import OFFSET_INDEX, USUAL_CHUNK

MAGIC = b"PAR1"
_ENCRYPTED_MAGIC = b"PARE"
TAIL_BYTES = len(MAGIC) + 4
_MAX_FOOTER_BYTES = 16 << 20
"""Largest footer, so that memory stays bounded. 100,000 column chunks take about 15 MB."""


class FileField:
    """Field numbers of FileMetaData."""

    SCHEMA, ROWS, GROUPS, METADATA, COLUMN_ORDERS, ENCRYPTION, SIGNING_KEY = 2, 3, 4, 5, 7, 8, 9
    KNOWN = frozenset(range(1, 10))


class GroupField:
    """Field numbers of RowGroup."""

    CHUNKS, BYTES, ROWS, COMPRESSED_BYTES = 1, 2, 3, 6
    KNOWN = frozenset(range(1, 8))


class ElementField:
    """Field numbers of SchemaElement."""

    TYPE, NAME, CHILDREN, CONVERTED = 1, 4, 5, 6


class ChunkField:
    """Field numbers of ColumnChunk."""

    FILE_PATH, FILE_OFFSET, METADATA, OFFSET_INDEX, OFFSET_INDEX_BYTES = 1, 2, 3, 4, 5
    COLUMN_INDEX, COLUMN_INDEX_BYTES, CRYPTO, ENCRYPTED_METADATA = 6, 7, 8, 9


class ColumnField:
    """Field numbers of ColumnMetaData."""

    ENCODINGS, VALUES, BYTES, COMPRESSED_BYTES, DATA_PAGE, DICTIONARY_PAGE = 2, 5, 6, 7, 9, 11
    STATISTICS, ENCODING_STATS, BLOOM_FILTER, SIZE_STATISTICS = 12, 13, 14, 16


class FooterError(ValueError):
    """A footer cannot be parsed. The message completes a sentence after "because"."""


@dataclass(frozen=True)
class RowGroup:
    struct: Struct
    """RowGroup, its column chunks emptied."""
    rows: int
    chunks: tuple[bytes, ...]
    """The encoded ColumnChunk of each leaf."""


@dataclass(frozen=True)
class Footer:
    start: int
    """Offset of the footer in the file; everything before it is data."""
    struct: Struct
    """FileMetaData, its row groups emptied."""
    rows: int
    schema: tuple[bytes, ...]
    """The encoded SchemaElements, depth first, beginning with the root."""
    names: tuple[bytes, ...]
    """Names of the top-level columns."""
    leaves: tuple[bytes, ...]
    """The encoded SchemaElements that hold values."""
    groups: tuple[RowGroup, ...]
    metadata: tuple[tuple[bytes, bytes, bytes | None], ...]
    """Key-value pairs: the encoded KeyValue, its key, its value."""

    @property
    def has_page_index(self) -> bool:
        return any(_has_page_index(group.chunks[0]) for group in self.groups if group.chunks)


def _has_page_index(chunk: bytes) -> bool:
    usual = USUAL_CHUNK.fullmatch(chunk)
    if usual:
        return usual[OFFSET_INDEX] is not None
    return any(field == ChunkField.OFFSET_INDEX for field, *_ in fields(chunk))


def read_footer(file: BinaryIO) -> Footer:
    """Read and parse the footer of an open file.

    Raises:
        FooterError: It is encrypted, too large or malformed.
    """
    return parse_footer(os.fstat(file.fileno()).st_size, partial(os.pread, file.fileno()))


def parse_footer(size: int, read: Callable[[int, int], bytes]) -> Footer:
    """Parse the footer of a file; `read` takes a number of bytes and an offset."""
    start, data = _footer_bytes(size, read)
    try:
        return _parse(start, data)
    except ThriftError as error:
        raise FooterError(f"its footer cannot be parsed: {error}") from error


def _footer_bytes(size: int, read: Callable[[int, int], bytes]) -> tuple[int, bytes]:
    if size < len(MAGIC) + TAIL_BYTES:
        raise FooterError(f"it is not a Parquet file: {size:,} bytes are too few")
    tail = read(TAIL_BYTES, size - TAIL_BYTES)
    if tail[4:] == _ENCRYPTED_MAGIC:
        raise FooterError("its footer is encrypted")
    if tail[4:] != MAGIC or read(len(MAGIC), 0) != MAGIC:
        raise FooterError(f"it is not a Parquet file: it does not begin and end with {MAGIC.decode()}")
    length = int.from_bytes(tail[:4], "little")
    start = size - TAIL_BYTES - length
    if start < len(MAGIC):
        raise FooterError(f"its footer cannot be parsed: {length:,} bytes of it in a file of {size:,}")
    if length > _MAX_FOOTER_BYTES:
        raise FooterError(f"its footer has {length:,} bytes, more than {_MAX_FOOTER_BYTES:,}")
    data = read(length, start)
    if len(data) != length:
        raise FooterError("it became shorter while it was read")
    return start, data


def _parse(start: int, data: bytes) -> Footer:
    groups: list[RowGroup] = []
    # Parsers within parsers, so that the row groups, most of a footer, are walked only once.
    parsers: dict[int, Parser] = {
        FileField.SCHEMA: _end_of_schema,
        FileField.GROUPS: partial(_parse_groups, groups),
        FileField.COLUMN_ORDERS: _end_of_orders,
    }
    struct: Struct = {}
    for field, kind, at, end in fields(data, parsers=parsers):
        if field in struct:
            raise ThriftError(f"field {field} occurs twice")
        struct[field] = Value(kind, b"" if field == FileField.GROUPS else data[at:end])
    missing = [name for name in ("SCHEMA", "ROWS", "GROUPS") if getattr(FileField, name) not in struct]
    if missing:
        raise ThriftError(f"it lacks {' and '.join(missing).lower()}")
    if struct[FileField.GROUPS].kind != LIST:
        raise ThriftError("its row groups are not a list")
    schema = structs_of(struct[FileField.SCHEMA])
    names, leaves = _names_and_leaves(schema)
    pairs = read_list(struct[FileField.METADATA], STRUCT) if FileField.METADATA in struct else []
    return Footer(
        start=start,
        struct=struct,
        rows=read_integer(struct[FileField.ROWS]),
        schema=schema,
        names=names,
        leaves=leaves,
        groups=tuple(groups),
        metadata=tuple(_key_value(raw) for raw in pairs),
    )


@functools.lru_cache(maxsize=4)
def structs_of(value: Value) -> tuple[bytes, ...]:
    """Return the encoded structs of a list. Cached, because objects of a dataset usually have the same."""
    return tuple(read_list(value, STRUCT))


class _EndOfList:
    """Finds the end of a list. A list with the same bytes as the one before it is not parsed again."""

    def __init__(self) -> None:
        self._last = b""

    def __call__(self, data: bytes, at: int) -> int:
        last = self._last
        if last and data.startswith(last, at):
            return at + len(last)
        _, _, end = list_elements(data, at)
        self._last = data[at:end]
        return end


_end_of_schema, _end_of_orders = _EndOfList(), _EndOfList()


def _parse_groups(groups: list[RowGroup], data: bytes, at: int) -> int:
    """Collect the row groups of the list at offset `at`, and return the offset of its end."""
    kind, spans, end = list_elements(data, at, partial(_parse_group, groups))
    if len(groups) != len(spans):
        raise ThriftError(f"its row groups are not structs but of kind {kind}")
    return end


def _parse_group(groups: list[RowGroup], data: bytes, at: int) -> int:
    chunks: list[bytes] = []
    parsers = {GroupField.CHUNKS: partial(_parse_chunks, chunks)}
    struct: Struct = {}
    end = at
    for field, kind, start, end in fields(data, at, parsers):
        struct[field] = Value(kind, b"" if field in parsers else data[start:end])
    if GroupField.CHUNKS not in struct or GroupField.ROWS not in struct or GroupField.BYTES not in struct:
        raise ThriftError("a row group without columns, rows or size")
    if struct[GroupField.CHUNKS].kind != LIST:
        raise ThriftError("a row group without a list of columns")
    groups.append(RowGroup(struct, read_integer(struct[GroupField.ROWS]), tuple(chunks)))
    # One more byte: the stop mark after the last field.
    return end + 1


def _parse_chunks(chunks: list[bytes], data: bytes, at: int) -> int:
    kind, spans, end = list_elements(data, at, _end_of_chunk)
    if spans and kind != STRUCT:
        raise ThriftError(f"its columns are not structs but of kind {kind}")
    chunks.extend(data[start:stop] for start, stop in spans)
    return end


def _end_of_chunk(data: bytes, at: int) -> int:
    usual = USUAL_CHUNK.match(data, at)
    return usual.end() if usual else end_of_struct(data, at)


def _key_value(raw: bytes) -> tuple[bytes, bytes, bytes | None]:
    struct = read_struct(raw)
    if 1 not in struct:
        raise ThriftError("a key-value pair without a key")
    return raw, read_binary(struct[1]), read_binary(struct[2]) if 2 in struct else None


@functools.lru_cache(maxsize=2)
def _names_and_leaves(schema: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the names of the top-level columns and the elements that hold values.

    Cached, because the objects of a dataset usually have one schema.
    """
    if not schema:
        raise ThriftError("an empty schema")
    _, expected, _ = _element(schema[0])
    names: list[bytes] = []
    leaves: list[bytes] = []
    unfinished = 0
    for raw in schema[1:]:
        name, children, holds_values = _element(raw)
        if holds_values == (children > 0):
            raise ThriftError(f"the schema's element {name!r} has both a type and children, or neither")
        if not unfinished:
            names.append(name)
            unfinished = 1
        unfinished += children - 1
        if holds_values:
            leaves.append(raw)
    if unfinished or len(names) != expected:
        raise ThriftError("the schema has more or fewer columns than it announces")
    return tuple(names), tuple(leaves)


def _element(raw: bytes) -> tuple[bytes, int, bool]:
    """Return an element's name, its number of children, and whether it holds values itself."""
    name, children, holds_values = None, 0, False
    for field, _, start, end in fields(raw):
        if field == ElementField.NAME:
            name = binary(raw[start:end])
        elif field == ElementField.CHILDREN:
            children = integer(raw, start)
        elif field == ElementField.TYPE:
            holds_values = True
    if name is None or children < 0:
        raise ThriftError("an element of the schema without a name, or with a negative number of children")
    return name, children, holds_values
