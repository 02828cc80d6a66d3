"""Thrift's compact protocol as spans of bytes: what is not touched is never decoded, and so stays as it is.

A footer describes each column of each row group, and a splice changes almost nothing of it. So values are found and
stepped over, not turned into objects: unknown fields survive, and time and memory are bounded by the footer's bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from contract.dataset.thrift_compact import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    MAP,
    SET,
    STOP,
    STRUCT,
    TRUE,
    UUID,
    ThriftError,
)

_WHOLE_NUMBERS = frozenset({I16, I32, I64})
_MOST_LEVELS = 32
_LONGEST_VARINT = 10
_SHORT_LIST = 15
_SIZES = {TRUE: 1, FALSE: 1, BYTE: 1, DOUBLE: 8, UUID: 16}
"""Bytes of an element of a list; a struct's truth values have none, they lie in their field's header."""


class Value(NamedTuple):
    """A field's value, in the bytes of the protocol."""

    kind: int
    raw: bytes


Struct = dict[int, Value]
"""A struct's fields in their order."""

Span = tuple[int, int, int, int]
"""A field's number, its kind, which also holds a truth value, and where its value begins and ends."""

Walk = Callable[[bytes, int], int]
"""Walks over the value that begins at a place itself; returns where it ends."""


def fields(data: bytes, at: int = 0, walks: Mapping[int, Walk] = MappingProxyType({})) -> Iterator[Span]:
    """The fields of the struct that begins at `at`; a field that is in `walks` is walked over by that.

    Raises ThriftError when the bytes are no struct.
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
            elif field in walks and kind in (LIST, STRUCT):
                end = walks[field](data, at)
            else:
                end = _skip(data, at, kind, 0)
            if end > len(data):
                raise ThriftError(f"field {field} goes beyond the end of the data")
            yield field, kind, at, end
            at = end
    except IndexError as error:
        raise ThriftError("the data ends within a struct") from error


def places(data: bytes, at: int, wanted: frozenset[int]) -> tuple[dict[int, int], int]:
    """Where the values of the wanted fields of a struct begin, and where the struct ends.

    As `fields`, which costs several times as much. Raises ThriftError, or IndexError when the data ends before.
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


def elements(data: bytes, at: int = 0, walk: Walk | None = None) -> tuple[int, list[tuple[int, int]], int]:
    """The kind of a list's elements, where each of them begins and ends, and where the list ends.

    A `walk` goes over elements that are structs itself.
    """
    try:
        kind, size, at = _list_header(data, at)
        if size > len(data) - at:
            raise ThriftError(f"{size:,} values announced, only {len(data) - at:,} bytes left")
        found = []
        for _ in range(size):
            end = walk(data, at) if walk and kind == STRUCT else _skip(data, at, kind, 0)
            found.append((at, end))
            at = end
    except IndexError as error:
        raise ThriftError("the data ends within a list") from error
    if at > len(data):
        raise ThriftError("a list goes beyond the end of the data")
    return kind, found, at


def end_of_struct(data: bytes, at: int) -> int:
    """Where the struct ends that begins at `at`.

    Raises ThriftError, or IndexError when the data ends before.
    """
    return _skip(data, at, STRUCT, 0)


def read_struct(data: bytes, at: int = 0, walks: Mapping[int, Walk] = MappingProxyType({})) -> Struct:
    """The struct that begins at `at`, its values undecoded; those of `walks` are left out."""
    found: Struct = {}
    for field, kind, start, end in fields(data, at, walks):
        if field in found:
            raise ThriftError(f"field {field} is there twice")
        found[field] = Value(kind, b"" if field in walks else data[start:end])
    return found


def read_list(value: Value, kind: int) -> list[bytes]:
    """The elements of a field that is a list of this kind, undecoded."""
    if value.kind != LIST:
        raise ThriftError(f"a value of kind {value.kind} where a list was expected")
    found, spans, _ = elements(value.raw)
    # A list without elements may name any kind.
    if spans and found != kind and not {found, kind} <= {TRUE, FALSE}:
        raise ThriftError(f"a list of kind {found} where one of kind {kind} was expected")
    return [value.raw[start:end] for start, end in spans]


def read_integer(value: Value) -> int:
    if value.kind not in (I16, I32, I64):
        raise ThriftError(f"a value of kind {value.kind} where a whole number was expected")
    return integer(value.raw)


def read_binary(value: Value) -> bytes:
    if value.kind != BINARY:
        raise ThriftError(f"a value of kind {value.kind} where text was expected")
    return binary(value.raw)


def integer(raw: bytes, at: int = 0) -> int:
    """The whole number that stands at `at`."""
    try:
        return _integer(raw, at)[0]
    except IndexError as error:
        raise ThriftError("the data ends within a number") from error


def binary(raw: bytes) -> bytes:
    """The text of an element or value of kind BINARY."""
    try:
        size, at = _varint(raw, 0)
    except IndexError as error:
        raise ThriftError("the data ends within a number") from error
    if size != len(raw) - at:
        raise ThriftError(f"a text of {size:,} bytes in {len(raw) - at:,}")
    return raw[at:]


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct, in the order of its fields as they are given."""
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
    """The bytes of a list, from those of its elements."""
    size = len(items)
    header = bytes((size << 4 | kind,)) if size < _SHORT_LIST else bytes((0xF0 | kind,)) + _write_varint(size)
    return header + b"".join(items)


def write_integer(value: int) -> bytes:
    return _write_varint(value << 1 if value >= 0 else (-value << 1) - 1)


def write_binary(text: bytes) -> bytes:
    return _write_varint(len(text)) + text


def i32(value: int) -> Value:
    return Value(I32, write_integer(value))


def i64(value: int) -> Value:
    return Value(I64, write_integer(value))


def _skip(data: bytes, at: int, kind: int, level: int) -> int:  # noqa: PLR0911, PLR0912 - one branch a kind, for speed
    """Where the value ends that begins at `at`; may be beyond the data's end, where the next look fails."""
    if kind in _WHOLE_NUMBERS:
        while data[at] > 0x7F:
            at += 1
        return at + 1
    if kind == BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in _SIZES:
        return at + _SIZES[kind]
    if level >= _MOST_LEVELS:
        raise ThriftError(f"nested deeper than {_MOST_LEVELS} levels")
    if kind == STRUCT:
        while header := data[at]:
            at += 1
            if header < 16:
                at = _skip(data, at, I64, level)
            inner = header & 0x0F
            if inner in _WHOLE_NUMBERS:
                # Most of a footer are these: a call for each would take most of the time.
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
                # A map of truth values beyond the end would be stepped over without a look at the data.
                if at > len(data):
                    raise ThriftError("a map goes beyond the end of the data")
        return at
    raise ThriftError(f"a value of kind {kind}, which there is not")


def _list_header(data: bytes, at: int) -> tuple[int, int, int]:
    header = data[at]
    size, at = header >> 4, at + 1
    if size == _SHORT_LIST:
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
    for index in range(1, _LONGEST_VARINT):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at
    raise ThriftError(f"a number of more than {_LONGEST_VARINT} bytes")


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
