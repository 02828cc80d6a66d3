"""Text that fits into messages: shortened texts and lists."""

import difflib
from collections.abc import Iterable, Sequence


def shorten(text: str, max_characters: int) -> str:
    """Return the text, cut at the end with an ellipsis when it is longer."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"


def list_first(names: Sequence[str], max_names: int = 10, separator: str = ", ", *, count: int | None = None) -> str:
    """Return the first names as text, with a count of the others.

    `count` is the number of all names when `names` has only the first of them.

    >>> list_first(["a", "b", "c"], 2)
    'a, b and 1 more'
    >>> list_first(["a", "b", "c"], 2, separator="; ")
    'a; b; and 1 more'
    """
    shown = separator.join(names[:max_names])
    others = (len(names) if count is None else count) - len(names[:max_names])
    if not others:
        return shown
    before_count = " " if separator == ", " else separator
    return f"{shown}{before_count}and {others:,} more"


def suggest(name: str, known: Iterable[str], command: str) -> str:
    """Return a remedy for an unknown name: similar known ones, or else the command that lists all.

    >>> suggest("chrun", ["churn", "delays"], "models"), suggest("x", ["delays"], "fleets")
    ("Did you mean 'churn'?", 'List all with `fleetscore fleets list`.')
    """
    similar = difflib.get_close_matches(name, list(known), n=3)
    if similar:
        return f"Did you mean {' or '.join(map(repr, similar))}?"
    return f"List all with `fleetscore {command} list`."
