"""Reads the columns of a Parquet object from its footer; pyarrow is too large for the functions.

Only the schema is read, which is at the beginning of the footer. Types have pyarrow's names,
simplified as `is_readable_as` permits: a decimal has no precision, and a list of lists or of groups
is just `list`. A type is None if the Parquet schema alone does not determine it, so no request is
refused on a guess.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contract.dataset.thrift_compact import (
    BYTE,
    FALSE,
    LIST,
    STRUCT,
    TRUE,
    Struct,
    ThriftError,
    Value,
    fields,
    list_elements,
    read_binary,
    read_integer,
    read_struct,
)

_UNITS = {1: "ms", 2: "us", 3: "ns"}
"""Units of times by their number in a TimeUnit."""
_LIST_GROUPS = ("array", "{}_tuple")
"""Names of repeated groups that are a list's values and not a level of their own."""

_MAGIC = b"PAR1"
_ENCRYPTED_MAGIC = b"PARE"
_TAIL_BYTES = len(_MAGIC) + 4
_FIRST_READ_BYTES = 64 << 10
_MAX_FOOTER_BYTES = 4 << 20
"""Bytes read of a larger footer.

The schema, which comes first, fits with more than 50,000 columns.
"""
_MAX_SCHEMA_ELEMENTS = 100_000
"""Maximum size of a schema, which limits the time and memory for a malicious footer."""

# Field numbers of FileMetaData and SchemaElement in parquet.thrift.
_SCHEMA = 2
_TYPE, _REPETITION, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 1, 3, 4, 5, 6, 10
_REPEATED = 2

_BOOLEAN, _INT32, _INT64, _INT96, _FLOAT, _DOUBLE, _BYTE_ARRAY, _FIXED = range(8)
_PLAIN = {
    _BOOLEAN: "bool",
    _INT32: "int32",
    _INT64: "int64",
    _INT96: "timestamp[ns]",
    _FLOAT: "float",
    _DOUBLE: "double",
    _BYTE_ARRAY: "binary",
    _FIXED: "fixed_size_binary",
}
_CONVERTED_TYPES = {
    0: "string",
    5: "decimal",
    6: "date32[day]",
    7: "time32[ms]",
    8: "time64[us]",
    # Writers from before logical types had no other times than these instants.
    9: "timestamp[ms, tz=UTC]",
    10: "timestamp[us, tz=UTC]",
    **{11 + index: f"uint{bits}" for index, bits in enumerate((8, 16, 32, 64))},
    **{15 + index: f"int{bits}" for index, bits in enumerate((8, 16, 32, 64))},
}
_LOGICAL_STRING, _LOGICAL_TIMESTAMP, _LOGICAL_INTEGER = 1, 8, 10
_LOGICAL_TYPES = {
    _LOGICAL_STRING: "string",
    5: "decimal",
    6: "date32[day]",
    7: "time",
    11: "null",
    15: "halffloat",
}
_CONVERTED_GROUPS = {1: "map", 2: "map", 3: "list"}
_LOGICAL_GROUPS = {2: "map", 3: "list"}


class FooterError(ValueError):
    """The footer cannot be read: not Parquet, damaged, encrypted, or too large."""


@dataclass(frozen=True)
class Column:
    """A top-level column. `type` is None if the Parquet schema does not determine it."""

    name: str
    type: str | None
    is_field: bool = False
    """Whether it is a field of JSON Lines, of which the head of an object may show only some."""


def read_columns(read: Callable[[int, int], bytes | None], size: int) -> tuple[Column, ...]:
    """Return the columns of a Parquet object of `size` bytes.

    Args:
        read: Returns the object's bytes from a start to before an end, None if they are not
            available.

    Raises:
        FooterError: The footer cannot be read.
    """
    if size < len(_MAGIC) + _TAIL_BYTES:
        raise FooterError(f"{size:,} bytes are too few for Parquet")
    start = max(0, size - _FIRST_READ_BYTES)
    tail = _range(read, start, size)
    magic = tail[-len(_MAGIC) :]
    if magic != _MAGIC:
        raise FooterError("an encrypted footer" if magic == _ENCRYPTED_MAGIC else "not a Parquet file")
    length = int.from_bytes(tail[-_TAIL_BYTES : -len(_MAGIC)], "little")
    first = size - _TAIL_BYTES - length
    if first < len(_MAGIC):
        raise FooterError(f"a footer of {length:,} bytes in an object of {size:,}")
    if first >= start:
        return parse_columns(tail[first - start : -_TAIL_BYTES])
    return parse_columns(_range(read, first, min(size - _TAIL_BYTES, first + _MAX_FOOTER_BYTES)))


def _range(read: Callable[[int, int], bytes | None], start: int, end: int) -> bytes:
    found = read(start, end)
    if found is None:
        raise FooterError("an object that is not available")
    if len(found) != end - start:
        raise FooterError(f"{len(found):,} bytes instead of the {end - start:,} requested")
    return found


def parse_columns(footer: bytes) -> tuple[Column, ...]:
    """Return the columns that a footer's bytes describe; the bytes after its schema may be missing.

    Raises:
        FooterError: The footer cannot be read.
    """
    try:
        found = next(((kind, start) for field, kind, start, _ in fields(footer) if field == _SCHEMA), None)
        if found is None or found[0] != LIST:
            raise FooterError("a footer without a schema")
        kind, spans, _ = list_elements(footer, found[1], max_elements=_MAX_SCHEMA_ELEMENTS)
        if spans and kind != STRUCT:
            raise FooterError("a footer without a schema")
        return tuple(_top_level_columns(read_struct(footer, start) for start, _ in spans))
    except ThriftError as error:
        raise FooterError(f"a footer that cannot be read: {error}") from error


def _top_level_columns(elements: Iterator[Struct]) -> list[Column]:
    """Return the root's children from the schema's elements, which are in depth-first order."""
    root = next(elements, None)
    if root is None:
        raise FooterError("an empty schema")
    announced = _number(root, _CHILDREN) or 0
    columns: list[Column] = []
    unfinished = 0
    # A list of numbers has at most three elements: the list, its repeated level, and the numbers.
    first: list[Struct] = []
    for element in elements:
        if not unfinished:
            if len(columns) == announced:
                raise FooterError("a schema with more columns than it announces")
            unfinished = 1
            first = []
        first.append(element)
        children = _number(element, _CHILDREN) or 0
        if children < 0:
            raise FooterError(f"a group of {children} columns")
        unfinished += children - 1
        if not unfinished:
            columns.append(Column(_name(first[0]), _column_type(first)))
    if unfinished:
        raise FooterError("a schema whose groups do not end")
    if len(columns) != announced:
        raise FooterError("a schema with fewer columns than it announces")
    return columns


def _column_type(elements: list[Struct]) -> str | None:
    """Return the type of a column from its schema elements, which are in depth-first order."""
    column, last = elements[0], elements[-1]
    if _number(column, _REPETITION) == _REPEATED:
        return _list_type(last) if len(elements) == 1 else "list"
    kind = _type(column)
    if kind != "list" or len(elements) not in (2, 3) or _number(elements[1], _REPETITION) != _REPEATED:
        return kind
    groups = [name.format(_name(column)) for name in _LIST_GROUPS]
    is_leaf = _number(last, _CHILDREN) is None and _number(last, _REPETITION) != _REPEATED
    is_level = len(elements) == 2 or (_name(elements[1]) not in groups and is_leaf)
    return _list_type(last) if is_level else kind


def _list_type(item: Struct) -> str | None:
    kind = _type(item)
    return None if kind is None else f"list<{kind}>"


def _type(element: Struct) -> str | None:
    physical, converted = _number(element, _TYPE), _number(element, _CONVERTED)
    if physical is None:
        if converted is not None:
            return _CONVERTED_GROUPS.get(converted, "struct")
        logical = _first_field(element[_LOGICAL]) if _LOGICAL in element else None
        return _LOGICAL_GROUPS.get(logical[0], "struct") if logical else "struct"
    if physical not in _PLAIN:
        return None
    if _LOGICAL in element and (logical := _first_field(element[_LOGICAL])):
        return _logical_type(*logical)
    if converted is not None:
        return _CONVERTED_TYPES.get(converted)
    return _PLAIN[physical]


def _first_field(union: Value) -> tuple[int, Value] | None:
    """Return the number and value of the one field that a union has."""
    return next(iter(read_struct(union.raw).items()), None) if union.kind == STRUCT else None


def _logical_type(kind: int, details: Value) -> str | None:
    if kind == _LOGICAL_TIMESTAMP:
        return _timestamp(read_struct(details.raw) if details.kind == STRUCT else {})
    if kind != _LOGICAL_INTEGER:
        return _LOGICAL_TYPES.get(kind)
    integer = read_struct(details.raw) if details.kind == STRUCT else {}
    width, signed = integer.get(1), integer.get(2)
    bits = int.from_bytes(width.raw, signed=True) if width is not None and width.kind == BYTE else None
    if bits not in (8, 16, 32, 64) or signed is None or signed.kind not in (TRUE, FALSE):
        raise FooterError(f"an integer of {bits!r} bits")
    return f"{'' if signed.kind == TRUE else 'u'}int{bits}"


def _timestamp(details: Struct) -> str | None:
    is_instant = details[1].kind == TRUE if 1 in details else False
    unit = _first_field(details[2]) if 2 in details else None
    if unit is None or unit[0] not in _UNITS:
        return None
    return f"timestamp[{_UNITS[unit[0]]}{', tz=UTC' if is_instant else ''}]"


def _name(element: Struct) -> str:
    if _NAME not in element:
        raise FooterError("a column without a name")
    name = read_binary(element[_NAME])
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise FooterError(f"a column whose name is not UTF-8: {name!r}") from error


def _number(element: Struct, field: int) -> int | None:
    return read_integer(element[field]) if field in element else None
