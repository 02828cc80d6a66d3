"""The statistics of a column chunk that is put together from pieces: readers leave out row groups by them."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from contract.dataset.thrift_compact import BINARY, FALSE, TRUE, CompactReader
from scoring.splice.footer.parsed_footer import ElementField
from scoring.splice.spans import Struct, Value, i64, write_binary

_NULLS, _MAX_VALUE, _MIN_VALUE, _MAX_EXACT, _MIN_EXACT = 3, 5, 6, 7, 8

_BOOLEAN, _INT32, _INT64, _FLOAT, _DOUBLE, _BYTE_ARRAY = 0, 1, 2, 4, 5, 6
_FORMATS = {_BOOLEAN: "<?", _INT32: "<i", _INT64: "<q", _FLOAT: "<f", _DOUBLE: "<d"}
_UNSIGNED = frozenset(range(11, 15))
_TEXT = frozenset({None, 0})

Order = Callable[[bytes], Any]
"""What to compare an encoded value by."""


def order_of(element: bytes) -> Order | None:
    """The order of a leaf's values by its SchemaElement, or None where it is not known here."""
    found = dict(CompactReader(element).fields())
    physical, converted = found.get(ElementField.TYPE), found.get(ElementField.CONVERTED)
    if physical == _BYTE_ARRAY:
        return bytes if converted in _TEXT else None
    if physical not in _FORMATS:
        return None
    form = _FORMATS[physical].upper() if converted in _UNSIGNED else _FORMATS[physical]
    return lambda value: struct.unpack(form, value)[0]


def merged(pieces: Sequence[Struct], values: Sequence[int], order: Order | None) -> Struct:
    """The Statistics of all pieces together; `values` are how many values each of them has, nulls included.

    Says nothing about the least and greatest value where one piece does not say it of its own.
    """
    if len(pieces) == 1:
        return dict(pieces[0])
    found = [{field: _decoded(value) for field, value in piece.items()} for piece in pieces]
    out: Struct = {}
    if all(_NULLS in piece for piece in found):
        out[_NULLS] = i64(sum(piece[_NULLS] for piece in found))
    # A piece with nothing but nulls has no limits and needs none.
    speaking = [piece for piece, count in zip(found, values, strict=True) if piece.get(_NULLS) != count]
    if order is not None:
        out |= _limit(speaking, _MAX_VALUE, lambda limits: max(limits, key=order))
        out |= _limit(speaking, _MIN_VALUE, lambda limits: min(limits, key=order))
        out |= _exactness(speaking, _MAX_EXACT) if _MAX_VALUE in out else {}
        out |= _exactness(speaking, _MIN_EXACT) if _MIN_VALUE in out else {}
    return out


def _limit(pieces: list[dict[int, Any]], field: int, choose: Callable[[list[bytes]], bytes]) -> Struct:
    known = [piece[field] for piece in pieces if field in piece]
    return {field: Value(BINARY, write_binary(choose(known)))} if known and len(known) == len(pieces) else {}


def _exactness(pieces: list[dict[int, Any]], field: int) -> Struct:
    flags = {piece.get(field) for piece in pieces}
    return {} if None in flags else {field: Value(TRUE if flags == {True} else FALSE, b"")}


def _decoded(value: Value) -> Any:
    return next(iter(dict(CompactReader(bytes((0x10 | value.kind,)) + value.raw + b"\0").fields()).values()))
