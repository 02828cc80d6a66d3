"""Checks of single values. Each returns the problems that it found, none when the value is fine."""

from collections import Counter

from contract.problems import InvalidInputError, Problem


def check_range(name: str, value: float | None, low: float, high: float, unit: str) -> list[Problem]:
    if value is None or low <= value <= high:
        return []
    return [Problem(name, value, f"{low:,} to {high:,} {unit}")]


def check_fraction(name: str, value: float | None) -> list[Problem]:
    if value is None or 0 <= value <= 1:
        return []
    return [Problem(name, value, "a fraction from 0 (no row may be bad) to 1", "0.01 tolerates one row in a hundred.")]


def check_unique(field: str, values: list[str]) -> list[Problem]:
    """A problem that names what stands in a list more than once."""
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    return [Problem(field, repeated, "each name once")] if repeated else []


def raise_if_any(problems: list[Problem], subject: str = "value") -> None:
    """Raise InvalidInputError when there is any problem."""
    if problems:
        raise InvalidInputError(subject, problems)
