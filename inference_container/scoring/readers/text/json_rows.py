"""One line of JSON Lines as Python sees it, with numbers as they are written: no digit of them is lost."""

import json
import math
import re
from typing import Any

_SURELY_FINITE = 300
"""Digits of a number without an exponent."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotARowError(ValueError):
    """Why a line is no row."""


class Number(str):
    """A number's text."""

    __slots__ = ()

    @property
    def is_whole(self) -> bool:
        return self.lstrip("-").isdigit()

    @property
    def is_in_range(self) -> bool:
        """Whether a floating-point number can be as large; the infinities that are written as such are."""
        can_be_large = len(self) > _SURELY_FINITE or "e" in self or "E" in self
        return not can_be_large or math.isfinite(float(self)) or not self[-1].isdigit()


class Row(dict[str, Any]):
    """A JSON object; `twice` are the names that it has more than once."""

    twice: frozenset[str] = frozenset()


def _row(pairs: list[tuple[str, Any]]) -> Row:
    row = Row(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        row.twice = frozenset(name for name in row if names.count(name) > 1)
    return row


_DEEPEST = 500
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
"""Strings, whose brackets are none, and brackets."""
_DECODER = json.JSONDecoder(object_pairs_hook=_row, parse_float=Number, parse_int=Number, parse_constant=Number)


def read_row(line: bytes) -> Row:
    """The JSON object of a line.

    Raises:
        NotARowError: when it is something else.
    """
    value = read_value(line)
    if not isinstance(value, Row):
        raise NotARowError("is no JSON object")
    return value


def read_value(data: bytes) -> Any:
    """The JSON value that this is, be there blanks around it. Raises NotARowError when it is none."""
    if _is_too_deep(data):
        raise NotARowError("is nested too deeply")
    try:
        text = data.decode("utf-8").strip(" \t\r\n")
        value = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise NotARowError(f"is not UTF-8 (byte {data[error.start]:#04x} at byte {error.start:,})") from error
    except UnicodeEncodeError as error:
        raise NotARowError("has half of a surrogate pair, which is no character") from error
    except RecursionError as error:
        raise NotARowError("is nested too deeply") from error
    except ValueError as error:
        raise NotARowError(f"is no JSON ({error})") from error
    return value


def _is_too_deep(line: bytes) -> bool:
    """A limit of our own: Python's depends on its release and on how deep the caller stands."""
    if line.count(b"[") + line.count(b"{") <= _DEEPEST:
        return False
    depth = 0
    for mark in _NESTING.findall(line):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark, 0)
        if depth > _DEEPEST:
            return True
    return False


def is_plain(name: str) -> bool:
    """Whether JSON can write the name in one way only, but for escapes that nobody needs."""
    return name.isascii() and json.dumps(name) == f'"{name}"'


def as_text(value: Any) -> str | None:
    """A value as text: a string as it is, everything else as JSON writes it, null as None."""
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
