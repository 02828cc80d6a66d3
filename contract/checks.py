"""Checks of single values: each returns the problems that it found.

A field of a dataclass can declare its check (see `contract.schema.field_info`). The check then
validates the field's value and gives the equivalent keywords of JSON Schema.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from contract.problems import InvalidInputError, Problem

JsonType = Literal["string", "number", "array", "object"]


class Check(Protocol):
    """A rule for one value. It ignores None and values of another JSON type."""

    @property
    def json_type(self) -> JsonType:
        """JSON type of the values that the rule applies to."""

    def problems(self, field: str, value: Any) -> list[Problem]:
        """Return the problems of the value, which `field` names."""

    def keywords(self) -> dict[str, Any]:
        """Return the JSON Schema keywords for this rule."""


@dataclass(frozen=True)
class Range:
    """A number between two limits, both included."""

    low: float
    high: float
    unit: str
    json_type: Literal["number"] = "number"

    def problems(self, field: str, value: float | None) -> list[Problem]:
        return check_range(field, value, self.low, self.high, self.unit)

    def keywords(self) -> dict[str, Any]:
        return {"minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Fraction:
    """A share of the rows of an object, from 0 to 1."""

    json_type: Literal["number"] = "number"

    def problems(self, field: str, value: float | None) -> list[Problem]:
        return check_fraction(field, value)

    def keywords(self) -> dict[str, Any]:
        return {"minimum": 0, "maximum": 1}


@dataclass(frozen=True)
class Matches:
    """A text that a pattern matches completely. The pattern is compiled when it is first needed."""

    pattern: str
    expected: str
    """Description of matching texts, for error messages."""
    remedy: str = ""
    json_type: Literal["string"] = "string"

    def accepts(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def problems(self, field: str, value: str | None) -> list[Problem]:
        if value is None or self.accepts(value):
            return []
        return [Problem(field, value, self.expected, self.remedy)]

    def keywords(self) -> dict[str, Any]:
        return {"pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True)
class Length:
    """A text with a number of characters between two limits, both included."""

    low: int
    high: int
    expected: str
    json_type: Literal["string"] = "string"

    def problems(self, field: str, value: str | None) -> list[Problem]:
        if value is None or self.low <= len(value) <= self.high:
            return []
        return [Problem(field, value, self.expected)]

    def keywords(self) -> dict[str, Any]:
        return {"minLength": self.low, "maxLength": self.high}


@dataclass(frozen=True)
class UniqueNames:
    """A list that holds each name once."""

    json_type: Literal["array"] = "array"

    def problems(self, field: str, value: tuple[str, ...]) -> list[Problem]:
        return check_unique(field, list(value))

    def keywords(self) -> dict[str, Any]:
        return {"uniqueItems": True}


@dataclass(frozen=True)
class NotEmpty:
    """A list or an object that is not empty."""

    expected: str
    json_type: Literal["array", "object"]

    def problems(self, field: str, value: Any) -> list[Problem]:
        return [] if value else [Problem(field, [] if self.json_type == "array" else {}, self.expected)]

    def keywords(self) -> dict[str, Any]:
        return {"minItems" if self.json_type == "array" else "minProperties": 1}


def is_of_type(value: Any, json_type: JsonType) -> bool:
    """Tell whether a field's value has this JSON type.

    >>> is_of_type(("a", "b"), "array"), is_of_type(None, "array")
    (True, False)
    """
    return isinstance(value, _TYPES[json_type])


_TYPES: dict[JsonType, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "array": (list, tuple),
    "object": (Mapping,),
}


def check_range(field: str, value: float | None, low: float, high: float, unit: str) -> list[Problem]:
    """Check that a number is between two limits, both included; None is allowed.

    >>> [str(problem) for problem in check_range("max_attempts", 11, 1, 10, "attempts")]
    ['max_attempts: got 11, expected 1 to 10 attempts']
    """
    if value is None or low <= value <= high:
        return []
    return [Problem(field, value, f"{low:,} to {high:,} {unit}")]


def check_fraction(field: str, value: float | None) -> list[Problem]:
    """Check that a share of rows is between 0 and 1; None is allowed."""
    if value is None or 0 <= value <= 1:
        return []
    return [Problem(field, value, "a fraction from 0 (no row may be bad) to 1", "0.01 tolerates one row in a hundred.")]


def check_unique(field: str, values: list[str]) -> list[Problem]:
    """Check that no value occurs twice.

    >>> [str(problem) for problem in check_unique("key_columns", ["id", "day", "id"])]
    ["key_columns: got ['id'], expected each name once"]
    """
    if len(set(values)) == len(values):
        return []
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    return [Problem(field, repeated, "each name once")] if repeated else []


def raise_if_any(problems: list[Problem], subject: str = "value") -> None:
    """Raise InvalidInputError if there are problems."""
    if problems:
        raise InvalidInputError(subject, problems)
