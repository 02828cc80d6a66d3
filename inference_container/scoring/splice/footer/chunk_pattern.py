"""The layout in which nearly all writers describe a column chunk, as a regular expression.

A footer has one of these for each column of each row group, and a walk over them in Python would take longer than all
else that is done to a small object. The expression takes nothing that the walk in `spans` would not take, and whatever
it does not take goes to that walk: rare fields, long texts, fields in another order.
"""

import re

_NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_LONGEST_TEXT = 31
_TEXT = b"(?>%b)" % b"|".join(b"%b.{%d}" % (re.escape(bytes((size,))), size) for size in range(_LONGEST_TEXT + 1))
_I16, _I32, _I64, _BINARY, _LIST, _STRUCT = 4, 5, 6, 8, 9, 12


def _field(step: int, kind: int, value: bytes) -> bytes:
    """A field whose number is so much greater than that of the one before."""
    return re.escape(bytes((step << 4 | kind,))) + value


def _any_field(kinds: tuple[int, ...], value: bytes) -> bytes:
    """A field of any number."""
    return b"[%b]" % b"".join(rb"\x%02x" % (step << 4 | kind) for step in range(1, 16) for kind in kinds) + value


def _list(kind: int, value: bytes, most: int) -> bytes:
    sizes = (re.escape(bytes((size << 4 | kind,))) + b"(?:%b){%d}" % (value, size) for size in range(1, most + 1))
    return b"(?>%b)" % b"|".join(sizes)


def _flat_struct(*fields: bytes) -> bytes:
    return b"(?:%b)*+" % b"|".join(fields) + rb"\x00"


_NUMBERS = _any_field((_I16, _I32, _I64), _NUMBER)
_TRUTHS = _any_field((1, 2), b"")
_STATISTICS = _flat_struct(_NUMBERS, _TRUTHS, _any_field((_BINARY,), _TEXT))
_ENCODING_STATS = _list(_STRUCT, _flat_struct(_NUMBERS), most=4)
_LEVELS = b"(?:\x06|%b)" % _list(_I64, _NUMBER, most=3)
_SIZES = _flat_struct(_NUMBERS, _any_field((_LIST,), _LEVELS))

_COLUMN = b"".join(
    (
        _field(1, _I32, _NUMBER),  # 1: type
        _field(1, _LIST, _list(_I32, _NUMBER, most=4)),  # 2: encodings
        _field(1, _LIST, _list(_BINARY, _TEXT, most=3)),  # 3: path in the schema
        _field(1, _I32, _NUMBER),  # 4: codec
        _field(1, _I64, _NUMBER) * 2,  # 5 and 6: values, bytes
        _field(1, _I64, b"(%b)" % _NUMBER),  # 7: compressed bytes
        _field(2, _I64, b"(%b)" % _NUMBER),  # 9: first data page
        # 11: dictionary page, 12: statistics
        b"(?:%b|%b)" % (_field(2, _I64, b"(%b)" % _NUMBER) + _field(1, _STRUCT, b""), b"\x3c"),
        _STATISTICS,
        _field(1, _LIST, _ENCODING_STATS),  # 13
        # 16: size statistics
        b"(?:%b)?" % _field(3, _STRUCT, _SIZES),
        b"\x00",
    )
)
_CHUNK = b"".join(
    (
        _field(2, _I64, _NUMBER),  # 2: offset of the chunk, without a path of another file
        _field(1, _STRUCT, _COLUMN),  # 3
        # 4 to 7: offset index and column index, each with its size
        b"(?:%b%b" % (_field(1, _I64, b"(%b)" % _NUMBER), _field(1, _I32, _NUMBER)),
        b"(?:%b%b)?)?" % (_field(1, _I64, b"(%b)" % _NUMBER), _field(1, _I32, _NUMBER)),
        b"\x00",
    )
)
USUAL_CHUNK = re.compile(_CHUNK, re.DOTALL)
"""Matches a whole ColumnChunk. Its groups, each as it is encoded: the size of its pages, where the first data page and
the dictionary page begin, and where its offset index and its column index lie; the last three may be missing."""
