"""The statistics of a column chunk made of parts. Readers use them to skip row groups."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from contract.dataset.thrift_compact import (
    BINARY,
    FALSE,
    TRUE,
    Struct,
    Value,
    fields,
    i64,
    integer,
    read_binary,
    read_integer,
    write_binary,
)
from scoring.splice.footer.parsed_footer import ElementField

_NULLS, _MAX_VALUE, _MIN_VALUE, _MAX_EXACT, _MIN_EXACT = 3, 5, 6, 7, 8

_BOOLEAN, _INT32, _INT64, _FLOAT, _DOUBLE, _BYTE_ARRAY = 0, 1, 2, 4, 5, 6
_FORMATS = {_BOOLEAN: "<?", _INT32: "<i", _INT64: "<q", _FLOAT: "<f", _DOUBLE: "<d"}
_UNSIGNED = frozenset(range(11, 15))
_TEXT = frozenset({None, 0})

Order = Callable[[bytes], Any]
"""Returns the sort key of an encoded value."""


def order_of(element: bytes) -> Order | None:
    """Return the order of a leaf's values by its SchemaElement, None for unsupported types."""
    wanted = (ElementField.TYPE, ElementField.CONVERTED)
    found = {field: integer(element, start) for field, _, start, _ in fields(element) if field in wanted}
    physical, converted = found.get(ElementField.TYPE), found.get(ElementField.CONVERTED)
    if physical == _BYTE_ARRAY:
        return bytes if converted in _TEXT else None
    if physical not in _FORMATS:
        return None
    form = _FORMATS[physical].upper() if converted in _UNSIGNED else _FORMATS[physical]
    return lambda value: struct.unpack(form, value)[0]


def merged_statistics(parts: Sequence[Struct], values: Sequence[int], order: Order | None) -> Struct:
    """Return the Statistics of all parts; `values` are their numbers of values, with nulls.

    A minimum or maximum is left out if a part with values lacks it.
    """
    if len(parts) == 1:
        return dict(parts[0])
    out: Struct = {}
    nulls = [read_integer(part[_NULLS]) if _NULLS in part else None for part in parts]
    if None not in nulls:
        out[_NULLS] = i64(sum(filter(None, nulls)))
    # A part with only nulls has no minimum and maximum, and needs none.
    with_values = [part for part, count, null in zip(parts, values, nulls, strict=True) if null != count]
    if order is not None:
        out |= _limit(with_values, _MAX_VALUE, lambda limits: max(limits, key=order))
        out |= _limit(with_values, _MIN_VALUE, lambda limits: min(limits, key=order))
        out |= _exactness(with_values, _MAX_EXACT) if _MAX_VALUE in out else {}
        out |= _exactness(with_values, _MIN_EXACT) if _MIN_VALUE in out else {}
    return out


def _limit(parts: Sequence[Struct], field: int, choose: Callable[[list[bytes]], bytes]) -> Struct:
    known = [read_binary(part[field]) for part in parts if field in part]
    return {field: Value(BINARY, write_binary(choose(known)))} if known and len(known) == len(parts) else {}


def _exactness(parts: Sequence[Struct], field: int) -> Struct:
    # A boolean field's kind is its value.
    flags = {part[field].kind if field in part else None for part in parts}
    return {} if None in flags else {field: Value(TRUE if flags == {TRUE} else FALSE, b"")}
