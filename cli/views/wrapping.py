"""Long texts as lines that fit a terminal, with the lines after the first indented."""

import re
import textwrap

INDENT = "  "
_NARROWEST = 30
"""Fewest characters of a wrapped line. Deeper lines of a narrow terminal are not indented further."""
_COMMAND = re.compile(r"`fleetscore [^`]*`")
_UNBROKEN = "\ue000"
"""Character of no meaning in place of a command's spaces, at which lines must not break."""


def wrapped(text: str, indent: str, width: int | None, max_lines: int | None = None) -> list[str]:
    """Return the text as lines of at most `width` characters; as one line without a width.

    Words and commands are never cut, so that they can be copied. A text of more than `max_lines`
    ends with `…`.
    """
    if width is None:
        return [indent + text]
    indent = indent[: max(0, width - _NARROWEST)]
    lines = textwrap.wrap(
        _COMMAND.sub(lambda found: found[0].replace(" ", _UNBROKEN), text),
        max(width, _NARROWEST),
        initial_indent=indent,
        subsequent_indent=indent + INDENT,
        break_on_hyphens=False,
        break_long_words=False,
        max_lines=max_lines,
        placeholder=" …",
    )
    return [line.replace(_UNBROKEN, " ") for line in lines]
