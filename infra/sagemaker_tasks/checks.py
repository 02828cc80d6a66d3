"""Distinguishes JSONPath from literals, and checks literals against the service's limits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Token


class InvalidJobError(ValueError):
    """SageMaker would refuse the properties; `problems` lists every reason."""

    def __init__(self, construct_path: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{construct_path}: " + "; ".join(problems))


def is_path(value: object) -> bool:
    """Tell whether a value is JSONPath.

    >>> is_path("$.job_name"), is_path("$$.Execution.Name"), is_path("ml.m5.xlarge")
    (True, True, False)
    """
    # A CDK token also begins with a dollar sign, but a brace follows.
    return isinstance(value, str) and (value == "$" or value.startswith(("$.", "$$.", "$[")))


def is_literal(value: object) -> bool:
    """Tell whether a value is known now: neither JSONPath nor a CDK token."""
    return not Token.is_unresolved(value) and not is_path(value)


def with_paths(value: Any) -> Any:
    """Append `.$` to the name of each field whose value is a path, as States Language requires.

    >>> with_paths({"Name": "$.name", "Config": {"Count": 1}, "Tags": [{"Key": "job", "Value": "$.job"}]})
    {'Name.$': '$.name', 'Config': {'Count': 1}, 'Tags': [{'Key': 'job', 'Value.$': '$.job'}]}
    """
    if isinstance(value, Mapping):
        return {f"{name}.$" if is_path(item) else name: with_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_paths(item) for item in value]
    return value


class Checks:
    """Collects violations of limits, which are those of botocore's service model of SageMaker."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, name: str, value: object, expected: str) -> None:
        self.problems.append(f"{name}: got {value!r}, expected {expected}")

    def text(self, name: str, value: str, pattern: re.Pattern[str] | None, maximum: int, minimum: int = 0) -> None:
        if not is_literal(value):
            return
        if not minimum <= len(value) <= maximum:
            self.add(name, value, f"{minimum} to {maximum} characters")
        if pattern and not pattern.fullmatch(value):
            self.add(name, value, f"text that matches {pattern.pattern}")

    def number(self, name: str, value: int | str, low: int, high: int) -> None:
        if is_literal(value) and not (isinstance(value, int) and low <= value <= high):
            self.add(name, value, f"a whole number from {low:,} to {high:,}")

    def count(self, name: str, items: Sequence[object], maximum: int) -> None:
        if len(items) > maximum:
            self.add(name, f"{len(items)} items", f"at most {maximum}")

    def unique(self, name: str, names: Sequence[str]) -> None:
        repeated = sorted({item for item in names if names.count(item) > 1})
        if repeated:
            self.add(name, repeated, "each name once")
