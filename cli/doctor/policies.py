"""Parsing of policies, in which a statement, principal or action may be a value or a list."""

from collections.abc import Iterator, Mapping
from typing import Any


def statements_of(policy: Mapping[str, Any], effect: str) -> Iterator[Mapping[str, Any]]:
    """Yield the statements of a policy that have an effect, `Allow` or `Deny`."""
    return (found for found in as_list(policy.get("Statement", [])) if found.get("Effect") == effect)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
