"""Parses a line of JSON Lines to Python values, in which numbers keep their exact text."""

import json
import math
import re
from collections import Counter
from typing import Any

_FINITE_DIGITS = 300
"""Number of characters up to which a number without an exponent is always finite."""
NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
"""Texts that are floating-point numbers, because JSON has no numbers for them."""
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotARowError(ValueError):
    """A line is not a row; the message says why.

    `detail` may hold values of the line.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class Number(str):
    """A number's text."""

    __slots__ = ()

    @property
    def is_whole(self) -> bool:
        return self.lstrip("-").isdigit()

    @property
    def is_in_range(self) -> bool:
        """Whether a float can hold it. Infinities that are written as such count as in range."""
        can_be_large = len(self) > _FINITE_DIGITS or "e" in self or "E" in self
        return not can_be_large or math.isfinite(float(self)) or not self[-1].isdigit()


class JsonRow(dict[str, Any]):
    """A JSON object; `duplicates` are the names that occur more than once in it."""

    duplicates: frozenset[str] = frozenset()
    unreadable: str = ""
    """Why texts of the row cannot be written as UTF-8; empty if all can."""


def _row(pairs: list[tuple[str, Any]]) -> JsonRow:
    row = JsonRow(pairs)
    if len(row) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        row.duplicates = frozenset(name for name, count in counts.items() if count > 1)
    return row


_MAX_DEPTH = 500
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
"""Matches brackets, and strings so that brackets in them are skipped."""
_DECODER = json.JSONDecoder(object_pairs_hook=_row, parse_float=Number, parse_int=Number, parse_constant=Number)


def read_row(line: bytes) -> JsonRow:
    """Parse the JSON object of a line.

    In its texts, a byte that is not UTF-8 is a surrogate, as in a line with half of a surrogate
    pair. `JsonRow.unreadable` says so, and `is_text` tells which.

    Raises:
        NotARowError: The line is something else.
    """
    value, unreadable = _read(line)
    if not isinstance(value, JsonRow):
        raise NotARowError("is not a JSON object")
    value.unreadable = unreadable
    return value


def read_value(data: bytes) -> Any:
    """Parse a JSON value, ignoring whitespace around it.

    Raises:
        NotARowError: It is not valid JSON.
    """
    value, unreadable = _read(data)
    if unreadable:
        raise NotARowError(unreadable)
    return value


def _read(data: bytes) -> tuple[Any, str]:
    if _is_too_deep(data):
        raise NotARowError("is nested too deeply")
    unreadable = ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        unreadable = "is not UTF-8"
        text = data.decode("utf-8", "surrogateescape")
    try:
        value = _DECODER.decode(text.strip(" \t\r\n"))
    except RecursionError as error:
        raise NotARowError("is nested too deeply") from error
    except ValueError as error:
        place = f" (at character {error.pos + 1:,})" if isinstance(error, json.JSONDecodeError) else ""
        raise NotARowError(f"{unreadable or 'is not JSON'}{place}", str(error)) from error
    if not unreadable and _SURROGATE.search(text) and not is_text(json.dumps(value, ensure_ascii=False)):
        unreadable = "has half of a surrogate pair, which is not a character"
    return value, unreadable


def is_text(text: str) -> bool:
    """Return whether a text can be written as UTF-8, which has no surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_surrogates(text: str) -> str:
    """Return a text of a row with escapes for bytes that are not UTF-8, and for surrogates.

    >>> without_surrogates(b"caf\\xe9".decode("utf-8", "surrogateescape"))
    'caf\\\\xe9'
    """
    bytes_escaped = _ESCAPED_BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return bytes_escaped.encode("utf-8", "backslashreplace").decode()


def _is_too_deep(line: bytes) -> bool:
    """Return whether nesting exceeds a fixed limit; Python's own limit depends on its version."""
    if line.count(b"[") + line.count(b"{") <= _MAX_DEPTH:
        return False
    depth = 0
    for mark in _NESTING.findall(line):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark, 0)
        if depth > _MAX_DEPTH:
            return True
    return False


def is_plain(name: str) -> bool:
    """Return whether JSON has only one usual spelling of a name, without escapes."""
    return name.isascii() and json.dumps(name) == f'"{name}"'


def as_text(value: Any) -> str | None:
    """Return a value as text: a string as it is, None for null, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return _json(value)


def _json(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_json(item)}" for name, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
