"""Texts that attack whoever prints them."""

import re
import unicodedata

CLIPBOARD_WRITE = "\x1b]52;c;ZXZpbA==\x07"
"""OSC 52: makes many terminals put a text of the attacker on the clipboard."""
HOSTILE = f"a{CLIPBOARD_WRITE}\x9b2J\x7f\r\u202egnp\u2066\u2028\u200b\U000e0041z"
"""Also C1 and DEL, a carriage return, direction overrides, a line separator, and invisible characters."""
_JOINERS = "\u200c\u200d"
_VISIBLE_FORMATS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd" + "".join(
    map(chr, range(0x13430, 0x13440))
)
"""Marks of Arabic, Syriac and Kaithi numbers, and joiners of hieroglyphs, in Unicode's category of invisible
characters."""


def is_printable(text: str) -> bool:
    """Return whether a terminal shows the text as it is written, apart from newlines and tabs."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in text
        if character not in f"\n\t{_JOINERS}{_VISIBLE_FORMATS}"
    )


def with_visible_surrogates(value: object) -> object:
    """Return a JSON value as it is read again after Fleetscore has written it."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, dict):
        return {with_visible_surrogates(name): with_visible_surrogates(item) for name, item in value.items()}
    return [with_visible_surrogates(item) for item in value] if isinstance(value, list) else value
