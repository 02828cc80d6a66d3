"""Fields of many lines of JSON as they are written, for those whose text cannot be told from a parsed value.

`1.50` and `15e-1` are the same number and not the same text. msgspec finds each value's own bytes and takes a line
apart in a fraction of the time that Python's parser needs.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from scoring.readers.text.cell_types import texts
from scoring.readers.text.json_rows import NotARowError, as_text, read_value

_ESCAPED_ASCII = b"\\u00"
"""With this a name can be written in another way."""


class RawFields:
    """Takes the texts of these fields, whose names are plain, out of whole lines.

    `known` are all fields that a line may have; None: whatever else it has is of no interest.
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
        """Each field's column of text, by name; None when anything in the lines must be looked at one by one."""
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
                # The last of two would win, or one lies within another value.
                return None
            return {
                name: texts([_text(value) for value in column])
                for name, column in zip(self._names, columns, strict=True)
            }
        except (msgspec.DecodeError, NotARowError, RecursionError):
            return None


def _text(value: Any) -> str | None:
    if value is msgspec.UNSET:
        return None
    raw = bytes(value)
    # Numbers are most of what is read so, and stand there as they are to be shown.
    return raw.decode("ascii") if raw[0] in b"-0123456789" else as_text(read_value(raw))
