"""Conditions of policies, compiled to functions. ministack evaluates the rare ones."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from embedded.ministack.plain_requests.modules import evaluator

KEYS_OF_SERVICES = frozenset(
    {
        "dynamodb:attributes", "dynamodb:enclosingoperation", "dynamodb:leadingkeys", "dynamodb:select",
        "events:detail-type", "events:source", "s3:delimiter", "s3:max-keys", "s3:prefix",
    }
)  # fmt: skip
"""Condition keys whose values come from the service alone."""
_FOR_ALL = "forallvalues:"

Matches = Callable[[str], object]


class ConditionValues(Protocol):
    """A call whose condition keys can be read one by one."""

    def value(self, key: str) -> Any:
        """Return the value of one of `KEYS_OF_SERVICES`; None if the call has none."""


class _Condition(NamedTuple):
    """A key whose value must match, or each of its values."""

    key: str
    for_all: bool
    matches: Matches

    def is_met(self, call: ConditionValues) -> bool:
        value = call.value(self.key)
        if value is None:
            return self.for_all
        if not self.for_all:
            return bool(self.matches(str(value)))
        values = value if isinstance(value, list) else [value]
        return all(self.matches(str(each)) for each in values)


def compiled(conditions: dict[str, Any]) -> Callable[[Any], bool]:
    """Return a function that evaluates the conditions of a statement for a call, as ministack does."""
    given = list(_frequent(conditions))
    found = [each for each in given if each is not None]
    if len(found) < len(given):
        return functools.partial(evaluator()._conditions_met, conditions)
    if len(found) == 1:
        return found[0].is_met
    return lambda call: all(each.is_met(call) for each in found)


def _frequent(conditions: dict[str, Any]) -> Iterator[_Condition | None]:
    """Yield the conditions; None for those that only ministack can evaluate."""
    for name, block in conditions.items():
        for_all = name.lower().startswith(_FOR_ALL)
        operator = name.lower().removeprefix(_FOR_ALL)
        if not isinstance(block, dict) or operator not in {"stringequals", "stringlike"}:
            yield None
            continue
        for key, expected in block.items():
            values = [str(each) for each in expected] if isinstance(expected, list) else [str(expected)]
            if key.lower() not in KEYS_OF_SERVICES or not values:
                yield None
                continue
            matches = pattern_match(tuple(values)) if operator == "stringlike" else frozenset(values).__contains__
            yield _Condition(key.lower(), for_all, matches)


@functools.lru_cache(1_000)
def pattern_match(patterns: tuple[str, ...]) -> Matches:
    """Return a function that returns whether a text matches one of some patterns with `*` and `?`."""
    if "*" in patterns:
        return anything
    wildcards = {"*": ".*", "?": "."}
    texts = ["".join(wildcards.get(each) or re.escape(each) for each in pattern) for pattern in patterns]
    return re.compile(f"^(?:{'|'.join(texts)})$").match


def anything(_text: str) -> bool:
    return True
