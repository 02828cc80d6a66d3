"""Strict parsing of untrusted JSON within limits, and writing of JSON that is safe to print.

Every part of Fleetscore parses JSON from outside with `parse_json`, so all of them refuse the same
texts. What it returns can be written again as JSON that every parser accepts.
"""

import json
import math
import re
from collections import Counter
from typing import Any, Never

from contract.control_characters import escape_in_json

MAX_BYTES = 128 << 20
"""Largest text that is parsed, in bytes: a manifest of 100,000 objects with the longest keys."""
MAX_DEPTH = 100
"""Deepest nesting of lists and objects. Python's own limit depends on its version and its stack."""
MAX_DIGITS = 400
"""Longest number, in characters: any 64-bit float fits. Longer ones take quadratic time."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""Brackets, and strings, whose brackets do not count."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN_CHARACTERS = 60


class JsonError(ValueError):
    """A text is not JSON within the limits. The message is a clause about "it"."""


def parse_json(text: str | bytes, *, max_bytes: int = MAX_BYTES, keep_surrogates: bool = False) -> Any:
    """Return the value of a JSON text in UTF-8.

    `keep_surrogates` keeps halves of surrogate pairs, for callers that refuse them by field or
    replace them.

    >>> parse_json('{"dataset": "flights"}')
    {'dataset': 'flights'}

    Raises:
        JsonError: The text is not JSON, is larger than `max_bytes`, or nests deeper than MAX_DEPTH
            levels. Also refused are NaN, infinities, numbers that no 64-bit float can hold,
            repeated names in an object, and half of a surrogate pair.
    """
    if len(text) > max_bytes:
        raise JsonError(f"it has more than {max_bytes:,} bytes")
    decoded = _decoded(text, keep_surrogates=keep_surrogates)
    _check_depth(decoded)
    try:
        value = _DECODER.decode(decoded)
        if not keep_surrogates and _SURROGATE.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise JsonError(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise JsonError("it nests too deeply") from error
    except UnicodeEncodeError as error:
        raise JsonError("it has half of a surrogate pair, which is not a character") from error
    return value


def dump_json(value: Any, **options: Any) -> str:
    r"""Return a value as JSON text that `parse_json` can read and that is safe to print.

    Control characters are escaped, and half of a surrogate pair becomes the text of its escape.
    Other characters stay as they are. `options` are those of `json.dumps`.

    >>> print(dump_json({"city": "Malmö\x9b31m"}))
    {"city": "Malmö\u009b31m"}
    """
    return escape_in_json(json.dumps(value, ensure_ascii=False, **options))


def _decoded(text: str | bytes, *, keep_surrogates: bool) -> str:
    try:
        if isinstance(text, bytes):
            return text.decode("utf-8-sig")
        text.encode(errors="surrogatepass" if keep_surrogates else "strict")
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8 (at byte {error.start:,})") from error
    except UnicodeEncodeError as error:
        raise JsonError("it has half of a surrogate pair, which is not a character") from error
    return text


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKETS.finditer(text):
        mark = found[0]
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        if depth > MAX_DEPTH:
            raise JsonError(f"it nests deeper than {MAX_DEPTH} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise JsonError(f"an object has the name {twice[:_SHOWN_CHARACTERS]!r} twice")
    return found


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _number(text: str) -> float:
    _check_digits(text)
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"the number {text[:_SHOWN_CHARACTERS]} is too large")
    return value


def _check_digits(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise JsonError(f"a number has {len(text):,} digits, at most {MAX_DIGITS} are read")


def _constant(text: str) -> Never:
    raise JsonError(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
