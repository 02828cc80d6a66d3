"""Problems with input: each names the field, its value, what was expected and what to do."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from contract.control_characters import replace_control_characters

MAX_SHOWN_PROBLEMS = 50
"""Largest number of problems that a message lists; untrusted input can have a million."""
_SHOWN_VALUE_CHARACTERS = 120
_SHOWN_FIELD_CHARACTERS = 300
"""Longest field name that is shown, in characters. Untrusted names can be longer."""


@dataclass(frozen=True)
class Problem:
    """A single problem of an input.

    >>> str(Problem("max_attempts", 11, "1 to 10 attempts"))
    'max_attempts: got 11, expected 1 to 10 attempts'
    """

    field: str
    value: object
    expected: str
    remedy: str = ""
    """What to do, in one sentence; empty if `expected` makes it clear."""

    def __str__(self) -> str:
        shown = _shorten(_repr(self.value), _SHOWN_VALUE_CHARACTERS)
        sentence = f"{_shorten(self.field, _SHOWN_FIELD_CHARACTERS)}: got {shown}, expected {self.expected}"
        # Names of fields, and quotations in `expected`, are untrusted text.
        return replace_control_characters(f"{sentence}. {self.remedy}" if self.remedy else sentence)


def _shorten(text: str, max_characters: int) -> str:
    return text if len(text) <= max_characters else text[:max_characters] + "…"


def _repr(value: object) -> str:
    """Return the value as text without words of Python, or its type if it cannot be written."""
    try:
        return _shown(value)
    except (RecursionError, ValueError):
        return f"{type(value).__name__}, too deep or too long to show"


def _shown(value: object) -> str:
    """Return a value as people write it: text in quotes, lists and objects as in JSON.

    >>> _shown(None), _shown([True, None, "a"]), _shown(float("nan"))
    ('nothing', "[true, nothing, 'a']", 'not a number')
    """
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if isinstance(value, Enum):
        return _shown(value.value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_shown(name)}: {_shown(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return repr(value)


class InvalidInputError(ValueError):
    """Raised for input that is refused. `problems` holds every problem, not only the first."""

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__(f"{subject} has {count_problems(self.problems)}: " + "; ".join(list_problems(self.problems)))


def count_problems(problems: Sequence[Problem]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"


def list_problems(problems: Sequence[Problem]) -> list[str]:
    """Return the text of each problem, and how many more there are than a message can list."""
    shown = [str(problem) for problem in problems[:MAX_SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    return [*shown, f"and {more:,} more"] if more else shown
