"""Texts that attack whoever prints them."""

import unicodedata

CLIPBOARD_WRITE = "\x1b]52;c;ZXZpbA==\x07"
"""OSC 52: makes many terminals put a text of the attacker on the clipboard."""
HOSTILE = f"a{CLIPBOARD_WRITE}\x9b2J\x7f\r\u202egnp\u2066\u2028z"
"""Also C1 and DEL, a carriage return, direction overrides, and a line separator."""
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_printable(text: str) -> bool:
    """Return whether a terminal shows the text as it is written, apart from newlines and tabs."""
    return not any(
        character in _DIRECTION or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        for character in text
        if character not in "\n\t"
    )
