"""The base of all faults: how often and when a fault happens, and the validation of its fields."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


def option(help_text: str, *, default: Any, choices: tuple[str, ...] = ()) -> Any:
    """Declare a field of a fault.

    The command's options and its help screens are made from these fields.
    """
    return field(default=default, metadata={"help": help_text, "choices": choices})


def pattern(what: str) -> Any:
    """Declare a field with a pattern that names what a fault concerns. The default is everything."""
    return option(f"{what}, with the wildcards * and ?. Default: *.", default="*")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that is added to an embedded AWS and waits for its occasions.

    An occasion is a request, a job, an upload, a delivery or a call of a function that the fault's
    other fields describe. All fields can be combined.

    Raises:
        ValueError: Fields are not valid; the message lists all problems.
    """

    KIND: ClassVar[str]
    """The fault's name in the command and in files."""
    EXAMPLE: ClassVar[str]
    """Options of an example, for the command's help."""
    STANDS: ClassVar[bool] = False
    """Whether the fault happens at every occasion unless `count` limits it."""

    count: int | None = option("Most times that it happens. Default: once; no limit with a probability.", default=None)
    probability: float | None = option("Share of the occasions at which it happens, above 0, at most 1.", default=None)
    seed: int = option("Start of the random numbers for the probability. Default: 0.", default=0)
    skip: int = option("Number of occasions that pass before the first fault. Default: 0.", default=0)
    after_seconds: float = option("Seconds after it was added from which it can happen. Default: 0.", default=0.0)
    until_seconds: float | None = option("Seconds after it was added until which it can happen.", default=None)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ValueError("; ".join(problems))

    def problems(self) -> list[str]:
        """Return what is wrong with the fields: each name, value, and what is expected."""
        found = [
            f"{declared.name}: it is empty, expected a name or a pattern such as '*'"
            for declared in fields(self)
            if declared.default == "*" and not getattr(self, declared.name)
        ]
        for declared in fields(self):
            choices, value = declared.metadata["choices"], getattr(self, declared.name)
            if choices and value not in choices:
                found.append(f"{declared.name}: got {value!r}, expected {' or '.join(map(repr, choices))}")
        if self.count is not None and self.count < 1:
            found.append(f"count: {self.count} is too few, expected at least 1")
        if self.probability is not None and not 0 < self.probability <= 1:
            found.append(f"probability: got {self.probability:g}, expected more than 0 and at most 1")
        for name in ("skip", "after_seconds"):
            found += at_least(self, name, 0)
        if self.until_seconds is not None and self.until_seconds <= self.after_seconds:
            found.append(
                f"until_seconds: got {self.until_seconds:g}, expected more than after_seconds ({self.after_seconds:g})"
            )
        return found

    @property
    def limit(self) -> int | None:
        """Most times that the fault happens; None means no limit."""
        if self.count is None and self.probability is None and not self.STANDS:
            return 1
        return self.count

    def is_due(self, seconds: float) -> bool:
        """Return whether the fault can happen this many seconds after it was added."""
        return self.after_seconds <= seconds and (self.until_seconds is None or seconds < self.until_seconds)

    def happens_at(self, occasion: int) -> bool:
        """Return whether the fault happens at its n-th occasion, counted from 0.

        The answer depends on `seed` and the number only, so a repeated run gets the same answers.
        """
        if occasion < self.skip:
            return False
        if self.probability is None:
            return True
        return random.Random(f"{self.seed} {occasion}").random() < self.probability  # noqa: S311 - no secret


def at_least(fault: Fault, name: str, least: float) -> list[str]:
    """Return the problem of a number that is below its least value."""
    value = getattr(fault, name)
    return [f"{name}: {value:,} is too few, expected at least {least:,}"] if value < least else []
