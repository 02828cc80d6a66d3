"""Extracts the exact text of JSON fields that parsed values do not preserve.

`1.50` and `15e-1` are the same number but different texts. msgspec returns each value's bytes, in a
fraction of the time of Python's parser.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from scoring.readers.text.cell_types import text_array
from scoring.readers.text.json_rows import NotARowError, as_text, read_value

_ESCAPED_ASCII = b"\\u00"
"""Start of an escaped ASCII character, with which a name can be spelled in several ways."""


class SourceTextFields:
    """Extracts the text of fields with plain names from whole lines.

    `known` are all fields that a line may have; None means any.
    """

    def __init__(self, names: Sequence[str], known: Sequence[str] | None = None) -> None:
        self._names = names
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
            columns = [[getattr(row, attribute) for row in rows] for attribute in self._attributes]
            if any(
                len(key.findall(data)) != len(column) - column.count(msgspec.UNSET)
                for key, column in zip(self._keys, columns, strict=True)
            ):
                # A line has the field twice, where msgspec returns the last value, or also inside
                # another value.
                return None
            return {
                name: text_array([_text(value) for value in column])
                for name, column in zip(self._names, columns, strict=True)
            }
        except (msgspec.DecodeError, NotARowError, RecursionError):
            return None


def _text(value: Any) -> str | None:
    if value is msgspec.UNSET:
        return None
    raw = bytes(value)
    # Fast path for numbers, which are the most frequent.
    return raw.decode("ascii") if raw[0] in b"-0123456789" else as_text(read_value(raw))
