"""Thrift's compact protocol, read without a schema and without trust: bounded in depth, size and number of values."""

import struct
from collections.abc import Iterator
from typing import Any

_MOST_LEVELS = 16
_MOST_VALUES = 500_000
_LONGEST_VARINT = 10

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(14)


class ThriftError(ValueError):
    """The bytes are not what the compact protocol allows, or more than the reader takes on."""


class CompactReader:
    """Reads values one after the other. A struct becomes a dict by field id, a list or set a list, text stays bytes.

    The work is bounded by the number of bytes: every value takes at least one of them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._values = 0

    def fields(self) -> Iterator[tuple[int, Any]]:
        """The fields of the struct that begins here, one at a time, so that a caller may stop before its end."""
        return self._fields(0)

    def _fields(self, level: int) -> Iterator[tuple[int, Any]]:
        field_id = 0
        while True:
            header = self._byte()
            kind = header & 0x0F
            if kind == STOP:
                return
            step = header >> 4
            field_id = field_id + step if step else self._zigzag()
            # A field's own header holds its truth value.
            yield field_id, (kind == TRUE if kind in (TRUE, FALSE) else self._value(kind, level))

    def _value(self, kind: int, level: int) -> Any:  # noqa: PLR0911 - one return a kind
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ThriftError(f"more than {_MOST_VALUES:,} values")
        if kind in (TRUE, FALSE):
            return self._byte() == TRUE
        if kind == BYTE:
            return int.from_bytes(self._bytes(1), signed=True)
        if kind in (I16, I32, I64):
            return self._zigzag()
        if kind == DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == UUID:
            return self._bytes(16)
        if level >= _MOST_LEVELS:
            raise ThriftError(f"nested deeper than {_MOST_LEVELS} levels")
        if kind in (LIST, SET):
            return self._list(level + 1)
        if kind == MAP:
            return self._map(level + 1)
        if kind == STRUCT:
            return dict(self._fields(level + 1))
        raise ThriftError(f"a value of kind {kind}, which there is not")

    def _list(self, level: int) -> list[Any]:
        header = self._byte()
        size = header >> 4
        size = self._checked(self._varint() if size == 0x0F else size)
        return [self._value(header & 0x0F, level) for _ in range(size)]

    def _map(self, level: int) -> list[tuple[Any, Any]]:
        size = self._checked(self._varint())
        if not size:
            return []
        kinds = self._byte()
        return [(self._value(kinds >> 4, level), self._value(kinds & 0x0F, level)) for _ in range(size)]

    def _checked(self, size: int) -> int:
        if size > len(self._data) - self._at:
            raise ThriftError(f"{size:,} values announced, only {len(self._data) - self._at:,} bytes left")
        return size

    def _varint(self) -> int:
        value = 0
        for index in range(_LONGEST_VARINT):
            byte = self._byte()
            value |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                return value
        raise ThriftError(f"a number of more than {_LONGEST_VARINT} bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ThriftError(f"the end of the data, {size:,} bytes were expected")
        found = self._data[self._at : end]
        self._at = end
        return found
