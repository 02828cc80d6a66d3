"""Escaping of control characters in untrusted text, which terminals interpret."""

import json
import re

_PATTERN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""Control characters (C0, C1, DEL), line and paragraph separators, and lone surrogates.

Also characters that are invisible or change the direction of text. Newlines, tabs and the two
joiners of some scripts and emojis are allowed.
"""
_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_control_characters(text: str) -> str:
    r"""Return the text with each control character as a visible escape; newlines and tabs stay.

    >>> print(replace_control_characters("a\x1b]52;c;eA==\x07b"))
    a\x1b]52;c;eA==\x07b
    >>> print(replace_control_characters("\u202egnp.exe"))
    \u202egnp.exe
    """
    return _PATTERN.sub(_escape, text)


def escape_in_json(text: str) -> str:
    r"""Return JSON text with the control characters in its strings escaped.

    Its value stays the same, except that half of a surrogate pair becomes the text of its escape,
    because many parsers, `parse_json` too, refuse it. `json.dumps` escapes only some of the control
    characters when it keeps other characters as they are.

    >>> print(escape_in_json('{"a": "\x9b31m é"}'))
    {"a": "\u009b31m é"}
    >>> print(escape_in_json('{"a": "\ud800"}'))
    {"a": "\\ud800"}
    """
    return _PATTERN.sub(_escape_in_json, text)


def has_lone_surrogate(text: str) -> bool:
    """Return whether the text has half of a surrogate pair, which UTF-8 cannot encode."""
    return _SURROGATE.search(text) is not None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escape_in_json(found: re.Match[str]) -> str:
    escape = json.dumps(found[0])[1:-1]
    return f"\\{escape}" if has_lone_surrogate(found[0]) else escape
