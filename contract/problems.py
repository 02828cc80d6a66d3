"""Findings about bad input: each names the field, its value, what was expected and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_VALUE_CHARACTERS = 120


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with some input."""

    field: str
    value: object
    expected: str
    remedy: str = ""

    def __str__(self) -> str:
        shown = repr(self.value)
        if len(shown) > _SHOWN_VALUE_CHARACTERS:
            shown = shown[:_SHOWN_VALUE_CHARACTERS] + "…"
        sentence = f"{self.field}: got {shown}, expected {self.expected}"
        return f"{sentence}. {self.remedy}" if self.remedy else sentence


class InvalidInputError(ValueError):
    """Input was refused; `problems` holds every finding, not only the first."""

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{subject} has {count}: " + "; ".join(str(problem) for problem in self.problems))
