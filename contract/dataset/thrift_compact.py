"""Thrift's compact protocol, read as spans of bytes and written from them.

A Parquet footer describes each column of each row group, and scoring changes almost none of it.
So values are located and copied rather than decoded, which also keeps fields that this code does
not know.

The bytes are not trusted. Nesting and the length of lists are limited, and every list element takes
at least one byte, so the footer's size bounds time and memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(14)

_MAX_LEVELS = 32
_MAX_ELEMENTS = 500_000
"""Maximum number of elements of a list; the schema of a 16 MiB footer has fewer."""
_MAX_VARINT_BYTES = 10
_LONG_LIST = 15
"""Size in a list's header which means that the actual size follows as a varint."""
_WHOLE_NUMBERS = frozenset({I16, I32, I64})
_SIZES = {TRUE: 1, FALSE: 1, BYTE: 1, DOUBLE: 8, UUID: 16}
"""Bytes per list element of a fixed size.

Boolean fields of a struct take none, because the field's header holds the value.
"""


class ThriftError(ValueError):
    """The bytes violate the compact protocol or exceed a limit of this reader."""


class Value(NamedTuple):
    """A field's value, still encoded."""

    kind: int
    """Type in the protocol, such as `I64`. A boolean's is its value: `TRUE` or `FALSE`."""
    raw: bytes


Struct = dict[int, Value]
"""The fields of a struct by number, in their order."""

Span = tuple[int, int, int, int]
"""A field's number, its kind, and the offsets where its value begins and ends."""

Parser = Callable[[bytes, int], int]
"""Parses the value that begins at an offset and returns the offset where it ends."""


def fields(data: bytes, at: int = 0, parsers: Mapping[int, Parser] = MappingProxyType({})) -> Iterator[Span]:
    """Iterate over the fields of the struct that begins at offset `at`.

    Args:
        parsers: Parsers by field number, called for these fields if they are lists or structs.

    Raises:
        ThriftError: The bytes are not a struct.
    """
    try:
        field = 0
        while header := data[at]:
            at += 1
            kind = header & 0x0F
            if header >> 4:
                field += header >> 4
            else:
                field, at = _integer(data, at)
            if kind in _WHOLE_NUMBERS:
                end = at
                while data[end] > 0x7F:
                    end += 1
                end += 1
            elif kind in (TRUE, FALSE):
                end = at
            elif field in parsers and kind in (LIST, STRUCT):
                end = parsers[field](data, at)
            else:
                end = _skip(data, at, kind, 0)
            if end > len(data):
                raise ThriftError(f"field {field} goes beyond the end of the data")
            yield field, kind, at, end
            at = end
    except IndexError as error:
        raise ThriftError("the data ends within a struct") from error


def field_offsets(data: bytes, at: int, wanted: frozenset[int]) -> tuple[dict[int, int], int]:
    """Return the offsets of the wanted fields' values and the offset where the struct ends.

    Several times faster than `fields`.

    Raises:
        ThriftError: The bytes are not a struct.
        IndexError: The data ends within it.
    """
    found: dict[int, int] = {}
    field = 0
    while header := data[at]:
        at += 1
        kind = header & 0x0F
        if header >> 4:
            field += header >> 4
        else:
            field, at = _integer(data, at)
        if field in wanted:
            found[field] = at
        if kind in _WHOLE_NUMBERS:
            while data[at] > 0x7F:
                at += 1
            at += 1
        elif kind > FALSE:
            at = _skip(data, at, kind, 0)
    return found, at + 1


def list_elements(
    data: bytes, at: int = 0, parser: Parser | None = None, max_elements: int = _MAX_ELEMENTS
) -> tuple[int, list[tuple[int, int]], int]:
    """Return a list's element kind, each element's start and end, and the offset where it ends.

    Args:
        parser: Called for each element if the elements are structs.

    Raises:
        ThriftError: The bytes are not a list, or it has more elements than this reader accepts.
    """
    try:
        kind, size, at = _list_header(data, at)
        if size > len(data) - at:
            raise ThriftError(f"{size:,} values announced, only {len(data) - at:,} bytes left")
        if size > max_elements:
            raise ThriftError(f"a list of more than {max_elements:,} values")
        found = []
        for _ in range(size):
            end = parser(data, at) if parser and kind == STRUCT else _skip(data, at, kind, 0)
            found.append((at, end))
            at = end
    except IndexError as error:
        raise ThriftError("the data ends within a list") from error
    if at > len(data):
        raise ThriftError("a list goes beyond the end of the data")
    return kind, found, at


def list_size(data: bytes, field: int, at: int = 0) -> int | None:
    """Return the announced size of a struct's list; None if the data ends before the list.

    The list itself may be missing or larger than the data.
    """
    sizes: list[int] = []

    def parse(raw: bytes, start: int) -> int:
        sizes.append(_list_header(raw, start)[1])
        return len(raw)

    try:
        for found, _, _, _ in fields(data, at, {field: parse}):
            if found == field:
                break
    except (ThriftError, IndexError):
        pass
    return sizes[0] if sizes else None


def end_of_struct(data: bytes, at: int) -> int:
    """Return the offset where the struct that begins at offset `at` ends.

    Raises:
        ThriftError: The bytes are not a struct.
        IndexError: The data ends within it.
    """
    return _skip(data, at, STRUCT, 0)


def read_struct(data: bytes, at: int = 0, parsers: Mapping[int, Parser] = MappingProxyType({})) -> Struct:
    """Return the struct at offset `at` with encoded values; fields in `parsers` have empty ones."""
    found: Struct = {}
    for field, kind, start, end in fields(data, at, parsers):
        if field in found:
            raise ThriftError(f"field {field} occurs twice")
        found[field] = Value(kind, b"" if field in parsers else data[start:end])
    return found


def read_list(value: Value, kind: int) -> list[bytes]:
    """Return the encoded elements of a list whose elements are of this kind."""
    if value.kind != LIST:
        raise ThriftError(f"a value of kind {value.kind} where a list was expected")
    found, spans, _ = list_elements(value.raw)
    # Writers differ in the kind that an empty list names.
    if spans and found != kind and not {found, kind} <= {TRUE, FALSE}:
        raise ThriftError(f"a list of kind {found} where one of kind {kind} was expected")
    return [value.raw[start:end] for start, end in spans]


def read_integer(value: Value) -> int:
    if value.kind not in _WHOLE_NUMBERS:
        raise ThriftError(f"a value of kind {value.kind} where a whole number was expected")
    return integer(value.raw)


def read_binary(value: Value) -> bytes:
    if value.kind != BINARY:
        raise ThriftError(f"a value of kind {value.kind} where text was expected")
    return binary(value.raw)


def integer(raw: bytes, at: int = 0) -> int:
    """Decode the whole number at offset `at`."""
    try:
        return _integer(raw, at)[0]
    except IndexError as error:
        raise ThriftError("the data ends within a number") from error


def binary(raw: bytes) -> bytes:
    """Decode a value of kind BINARY."""
    try:
        size, at = _varint(raw, 0)
    except IndexError as error:
        raise ThriftError("the data ends within a number") from error
    if size != len(raw) - at:
        raise ThriftError(f"a text of {size:,} bytes announced, but {len(raw) - at:,} bytes follow")
    return raw[at:]


def write_struct(struct: Struct) -> bytes:
    """Encode a struct, its fields in the order of the dict."""
    parts = []
    last = 0
    for field, (kind, raw) in struct.items():
        step = field - last
        last = field
        if 0 < step <= 15:
            parts.append(bytes((step << 4 | kind,)))
        else:
            parts.append(bytes((kind,)) + write_integer(field))
        parts.append(raw)
    parts.append(bytes((STOP,)))
    return b"".join(parts)


def write_list(kind: int, items: Sequence[bytes]) -> bytes:
    """Encode a list of encoded elements."""
    size = len(items)
    header = bytes((size << 4 | kind,)) if size < _LONG_LIST else bytes((0xF0 | kind,)) + _write_varint(size)
    return header + b"".join(items)


def write_integer(value: int) -> bytes:
    return _write_varint(value << 1 if value >= 0 else (-value << 1) - 1)


def write_binary(text: bytes) -> bytes:
    return _write_varint(len(text)) + text


def i32(value: int) -> Value:
    return Value(I32, write_integer(value))


def i64(value: int) -> Value:
    return Value(I64, write_integer(value))


def _skip(data: bytes, at: int, kind: int, level: int) -> int:  # noqa: PLR0911, PLR0912 - one branch per kind, for speed
    """Return the offset where the value at offset `at` ends.

    The end may be beyond the data; then the next access raises IndexError.
    """
    if kind in _WHOLE_NUMBERS:
        while data[at] > 0x7F:
            at += 1
        return at + 1
    if kind == BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in _SIZES:
        return at + _SIZES[kind]
    if level >= _MAX_LEVELS:
        raise ThriftError(f"nested deeper than {_MAX_LEVELS} levels")
    if kind == STRUCT:
        while header := data[at]:
            at += 1
            if header < 16:
                at = _skip(data, at, I64, level)
            inner = header & 0x0F
            if inner in _WHOLE_NUMBERS:
                # Inlined: most of a footer's values are whole numbers, and a call for each would
                # dominate.
                while data[at] > 0x7F:
                    at += 1
                at += 1
            elif inner == BINARY:
                size, at = _varint(data, at)
                at += size
            elif inner > FALSE:
                at = _skip(data, at, inner, level + 1)
            elif inner == STOP:
                raise ThriftError("a field without a kind")
        return at + 1
    if kind in (LIST, SET):
        inner, size, at = _list_header(data, at)
        if inner in _SIZES:
            return at + size * _SIZES[inner]
        for _ in range(size):
            at = _skip(data, at, inner, level + 1)
        return at
    if kind == MAP:
        size, at = _varint(data, at)
        if size:
            kinds = data[at]
            at += 1
            for _ in range(size):
                at = _skip(data, _skip(data, at, kinds >> 4, level + 1), kinds & 0x0F, level + 1)
                # Booleans are skipped without access to the data, so check the end here.
                if at > len(data):
                    raise ThriftError("a map goes beyond the end of the data")
        return at
    raise ThriftError(f"a value of kind {kind}, which does not exist")


def _list_header(data: bytes, at: int) -> tuple[int, int, int]:
    header = data[at]
    size, at = header >> 4, at + 1
    if size == _LONG_LIST:
        size, at = _varint(data, at)
    return header & 0x0F, size, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for index in range(1, _MAX_VARINT_BYTES):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at
    raise ThriftError(f"a number of more than {_MAX_VARINT_BYTES} bytes")


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
