"""The columns of a Parquet object, from the bytes of its footer: pyarrow does not fit beside the functions.

Only the schema is read, which stands at the footer's beginning. Types get the names under which pyarrow reads them;
a type that Parquet alone does not decide gets none, so that nobody is refused for what is not certain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.dataset.thrift_compact import CompactReader, ThriftError

_MAGIC = b"PAR1"
_ENCRYPTED_MAGIC = b"PARE"
_TAIL_BYTES = len(_MAGIC) + 4
_FIRST_READ_BYTES = 64 << 10
_MOST_FOOTER_BYTES = 4 << 20
"""The schema of more than 50,000 columns fits in it; what follows it in a larger footer is not needed."""

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
    9: "timestamp[ms]",
    10: "timestamp[us]",
    **{11 + index: f"uint{bits}" for index, bits in enumerate((8, 16, 32, 64))},
    **{15 + index: f"int{bits}" for index, bits in enumerate((8, 16, 32, 64))},
}
_LOGICAL_STRING, _LOGICAL_INTEGER = 1, 10
_LOGICAL_TYPES = {
    _LOGICAL_STRING: "string",
    5: "decimal",
    6: "date32[day]",
    7: "time",
    8: "timestamp",
    11: "null",
    15: "halffloat",
}


class FooterError(ValueError):
    """The footer cannot be read: no Parquet, damaged, encrypted, or larger than what is taken on."""


@dataclass(frozen=True)
class Column:
    """A top-level column; `type` is None where only a reader of the data can tell."""

    name: str
    type: str | None


def read_columns(read: Callable[[int, int], bytes | None], size: int) -> tuple[Column, ...]:
    """The columns of a Parquet object of `size` bytes.

    `read` gives its bytes from a first to before an end, or None when they cannot be had.

    Raises:
        FooterError: when they cannot be told.
    """
    if size < len(_MAGIC) + _TAIL_BYTES:
        raise FooterError(f"{size:,} bytes are too few for Parquet")
    start = max(0, size - _FIRST_READ_BYTES)
    tail = _range(read, start, size)
    magic = tail[-len(_MAGIC) :]
    if magic != _MAGIC:
        raise FooterError("an encrypted footer" if magic == _ENCRYPTED_MAGIC else "no Parquet")
    length = int.from_bytes(tail[-_TAIL_BYTES : -len(_MAGIC)], "little")
    first = size - _TAIL_BYTES - length
    if first < len(_MAGIC):
        raise FooterError(f"a footer of {length:,} bytes in an object of {size:,}")
    if first >= start:
        return parse_columns(tail[first - start : -_TAIL_BYTES])
    return parse_columns(_range(read, first, min(size - _TAIL_BYTES, first + _MOST_FOOTER_BYTES)))


def _range(read: Callable[[int, int], bytes | None], start: int, end: int) -> bytes:
    found = read(start, end)
    if found is None:
        raise FooterError("an object that cannot be had")
    if len(found) != end - start:
        raise FooterError(f"{len(found):,} bytes came where {end - start:,} were asked for")
    return found


def parse_columns(footer: bytes) -> tuple[Column, ...]:
    """The columns that a footer's bytes describe; what comes after its schema may be missing.

    Raises:
        FooterError: when they cannot be told.
    """
    try:
        elements = next((value for field, value in CompactReader(footer).fields() if field == _SCHEMA), None)
    except ThriftError as error:
        raise FooterError(f"a footer that cannot be read: {error}") from error
    if not isinstance(elements, list) or not all(isinstance(element, dict) for element in elements):
        raise FooterError("a footer without a schema")
    return tuple(_top_level(elements))


def _top_level(elements: list[dict[int, Any]]) -> list[Column]:
    if not elements:
        raise FooterError("an empty schema")
    columns: list[Column] = []
    at = 1
    for _ in range(_number(elements[0], _CHILDREN) or 0):
        if at >= len(elements):
            raise FooterError("a schema with fewer columns than it announces")
        columns.append(Column(_name(elements[at]), _type(elements[at])))
        at = _after(elements, at)
    if at != len(elements):
        raise FooterError("a schema with more columns than it announces")
    return columns


def _after(elements: list[dict[int, Any]], at: int) -> int:
    """Where the element after this one and all that is in it stands: the tree lies in the order of a walk."""
    open_elements = 1
    while open_elements:
        if at >= len(elements):
            raise FooterError("a schema whose groups do not end")
        children = _number(elements[at], _CHILDREN) or 0
        if children < 0:
            raise FooterError(f"a group of {children} columns")
        open_elements += children - 1
        at += 1
    return at


def _type(element: Mapping[int, Any]) -> str | None:
    logical = element.get(_LOGICAL)
    physical, converted = _number(element, _TYPE), _number(element, _CONVERTED)
    if _number(element, _REPETITION) == _REPEATED:
        return "list"
    if physical is None:
        return {1: "map", 2: "map", 3: "list"}.get(-1 if converted is None else converted, "struct")
    if physical not in _PLAIN:
        return None
    if isinstance(logical, dict) and logical:
        return _logical_type(logical)
    if converted is not None:
        return _CONVERTED_TYPES.get(converted)
    return _PLAIN[physical]


def _logical_type(logical: Mapping[int, Any]) -> str | None:
    kind, details = next(iter(logical.items()))
    if kind != _LOGICAL_INTEGER:
        return _LOGICAL_TYPES.get(kind)
    bits, signed = (details.get(1), details.get(2)) if isinstance(details, dict) else (None, None)
    if bits not in (8, 16, 32, 64) or not isinstance(signed, bool):
        raise FooterError(f"an integer of {bits!r} bits")
    return f"{'' if signed else 'u'}int{bits}"


def _name(element: Mapping[int, Any]) -> str:
    name = element.get(_NAME)
    if not isinstance(name, bytes):
        raise FooterError("a column without a name")
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise FooterError(f"a column whose name is not UTF-8: {name!r}") from error


def _number(element: Mapping[int, Any], field: int) -> int | None:
    value = element.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise FooterError(f"a schema element whose field {field} is {value!r}")
    return value
