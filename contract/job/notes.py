"""Notes on how models were loaded and columns read, as texts that end with the number of values."""

import re
from collections.abc import Iterable

_COUNTED = re.compile(r"(?P<note>.*): (?P<count>[0-9]{1,3}(?:,[0-9]{3})*) values", re.DOTALL)


def counted_note(note: str, count: int) -> str:
    """Return the text of a note with its number of values; 0 if it is not about values.

    >>> counted_note("churn: integers were read as floats", 1_200)
    'churn: integers were read as floats: 1,200 values'
    """
    return f"{note}: {count:,} values" if count else note


def sum_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Return distinct notes in the order of their first appearance, with the sums of their counts.

    >>> sum_notes(["a: 2 values", "b", "a: 1,000 values", "b"])
    ('a: 1,002 values', 'b')
    """
    counts: dict[str, int] = {}
    for text in notes:
        found = _COUNTED.fullmatch(text)
        note, count = (found["note"], int(found["count"].replace(",", ""))) if found else (text, 0)
        counts[note] = counts.get(note, 0) + count
    return tuple(counted_note(note, count) for note, count in counts.items())
