"""Extracts the exact text of JSON fields that parsed values do not preserve.

`1.50` and `15e-1` are the same number but different texts. msgspec returns each value's bytes, in a
fraction of the time of Python's parser.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from scoring.readers.text.cell_types import text_array
from scoring.readers.text.json_rows import NOT_FINITE, NotARowError, Number, as_text, is_text, read_row, read_value

_ESCAPED_ASCII = b"\\u00"
"""Start of an escaped ASCII character, with which a name can be spelled in several ways."""


class SourceTextFields:
    """Extracts the text of fields with plain names from whole lines.

    `known` are all fields that a line may have; None means any. `numbers` are the fields whose
    values must be numbers; True if they are floating-point numbers.
    """

    def __init__(
        self, names: Sequence[str], known: Sequence[str] | None = None, numbers: Mapping[str, bool] | None = None
    ) -> None:
        self._names = names
        self._texts = [
            _text if (is_float := (numbers or {}).get(name)) is None else _FLOAT_TEXT if is_float else _INTEGER_TEXT
            for name in names
        ]
        fields = {f"f{place}": name for place, name in enumerate(known or names)}
        row = msgspec.defstruct(
            "Row",
            [(attribute, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for attribute in fields],
            rename=fields,
            forbid_unknown_fields=known is not None,
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(row)
        attributes = {name: attribute for attribute, name in fields.items()}
        self._attributes = [attributes[name] for name in names]
        self._keys = [re.compile(rb'"%s"[ \t\r\n]*:' % re.escape(name.encode())) for name in names]

    def read(self, data: bytes, lines: int) -> dict[str, pa.Array] | None:
        """Return each field's column of text by name; None if the lines must be read one by one."""
        if _ESCAPED_ASCII in data:
            return None
        try:
            rows = self._decoder.decode_lines(data)
            if len(rows) != lines:
                return None
            columns = [list(map(attrgetter(attribute), rows)) for attribute in self._attributes]
            if any(
                len(key.findall(data)) != len(column) - column.count(msgspec.UNSET)
                for key, column in zip(self._keys, columns, strict=True)
            ):
                # A line has the field twice, where msgspec returns the last value, or also inside
                # another value.
                return None
            return {
                name: (text is _text and _plain_numbers(column)) or text_array([text(value) for value in column])
                for name, text, column in zip(self._names, self._texts, columns, strict=True)
            }
        except (msgspec.DecodeError, NotARowError, RecursionError):
            return None


def _plain_numbers(column: Sequence[Any]) -> pa.Array | None:
    """Return the texts of a column if each is a number, else None: faster than one by one."""
    if msgspec.UNSET in column:
        return None
    content = b"".join(column)
    ends = np.cumsum([0, *(len(memoryview(value)) for value in column)], dtype=np.int32)
    firsts = np.frombuffer(content, dtype=np.uint8)[ends[:-1]]
    if not ((firsts == ord("-")) | ((firsts >= ord("0")) & (firsts <= ord("9")))).all():
        return None
    return pa.Array.from_buffers(pa.string(), len(column), [None, pa.py_buffer(ends), pa.py_buffer(content)])


def _text(value: Any) -> str | None:
    if value is msgspec.UNSET:
        return None
    raw = bytes(value)
    # Fast path for numbers, which are the most frequent.
    return raw.decode("ascii") if raw[0] in b"-0123456789" else as_text(read_value(raw))


def _number(value: Any, *, is_float: bool) -> str | None:
    """Return a number's text.

    Raises:
        NotARowError: It is something else.
    """
    text = _text(value)
    if text is None:
        return None
    # A text such as "5" is not a number.
    is_number = bytes(value)[0] in b"-0123456789" and Number(text).is_in_range
    if not is_number and not (is_float and text in NOT_FINITE and bytes(value)[0] == ord('"')):
        raise NotARowError("is not a number")
    return text


_FLOAT_TEXT = partial(_number, is_float=True)
_INTEGER_TEXT = partial(_number, is_float=False)


class FieldNames:
    """Collects the names of fields from whole lines, in the order of their first appearance."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def add(self, data: bytes) -> None:
        """Add the names in some whole lines. Lines that are not rows are ignored."""
        rows: Sequence[Mapping[str, Any]]
        try:
            rows = self._decoder.decode_lines(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            rows = [row for line in data.split(b"\n") if (row := _row_or_none(line)) is not None]
        for row in rows:
            if not row.keys() <= self.names.keys():
                self.names.update((name, None) for name in row if is_text(name))


def _row_or_none(line: bytes) -> Mapping[str, Any] | None:
    try:
        return read_row(line) if line.strip() else None
    except NotARowError:
        return None
