"""Rules of Choice states in JSONPath: comparisons, combined with And, Or and Not."""

import functools
import operator
import re
from collections.abc import Callable
from typing import Any

from embedded.ministack.step_functions.language import Context
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import resolve
from embedded.step_functions.expressions.timestamps import moment

COMBINATIONS = ("And", "Or", "Not")

Operand = Callable[[Any], Any]
"""Returns a value in the form in which it is compared; None if it has another type."""


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    # Python's booleans are integers, but those of JSON are not.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else None


OPERANDS: dict[str, Operand] = {"String": _text, "Numeric": _number, "Timestamp": moment, "Boolean": _truth}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
    "LessThanEquals": operator.le,
    "GreaterThanEquals": operator.ge,
}
_TYPE_TESTS: dict[str, Callable[[Any], bool]] = {
    "IsNull": lambda value: value is None,
    "IsString": lambda value: _text(value) is not None,
    "IsNumeric": lambda value: _number(value) is not None,
    "IsBoolean": lambda value: _truth(value) is not None,
    "IsTimestamp": lambda value: moment(value) is not None,
}
_COMPARISONS = {
    f"{kind}{name}": (operand, compare)
    for kind, operand in OPERANDS.items()
    for name, compare in _ORDER.items()
    if kind != "Boolean" or name == "Equals"
}

LITERAL_KINDS = {name: kind for name in _COMPARISONS for kind in OPERANDS if name.startswith(kind)} | {
    "StringMatches": "String",
    "IsPresent": "Boolean",
    **dict.fromkeys(_TYPE_TESTS, "Boolean"),
}
"""Type of the literal per operator that compares with a literal."""
PATH_OPERATORS = frozenset(f"{name}Path" for name in _COMPARISONS)
"""Operators that compare with the value of a path."""


def holds(rule: dict[str, Any], data: Any, context: Context) -> bool:
    """Return whether a rule of a Choice state matches the state's input.

    Raises:
        TaskError: States.Runtime, if a compared path has no match.
    """
    if "And" in rule:
        return all(holds(part, data, context) for part in rule["And"])
    if "Or" in rule:
        return any(holds(part, data, context) for part in rule["Or"])
    if "Not" in rule:
        return not holds(rule["Not"], data, context)
    if "IsPresent" in rule:
        return _is_present(rule["Variable"], data, context) is rule["IsPresent"]
    name = next(key for key in rule if key in LITERAL_KINDS or key in PATH_OPERATORS)
    other = _value(rule[name], data, context) if name in PATH_OPERATORS else rule[name]
    return _compares(name.removesuffix("Path"), _value(rule["Variable"], data, context), other)


def _compares(name: str, value: Any, other: Any) -> bool:
    if name in _TYPE_TESTS:
        return _TYPE_TESTS[name](value) is other
    if name == "StringMatches":
        return isinstance(value, str) and _pattern(other).fullmatch(value) is not None
    operand, compare = _COMPARISONS[name]
    left, right = operand(value), operand(other)
    return left is not None and right is not None and compare(left, right)


def _is_present(path: str, data: Any, context: Context) -> bool:
    try:
        resolve(path, data, context)
    except TaskError:
        return False
    return True


def _value(path: str, data: Any, context: Context) -> Any:
    try:
        return resolve(path, data, context)
    except TaskError as missing:
        text = f"Invalid path '{path}': The choice state's condition path references an invalid value."
        raise TaskError("States.Runtime", text) from missing


@functools.lru_cache(1024)
def _pattern(wildcards: str) -> re.Pattern[str]:
    r"""Return a pattern in which `*` stands for any characters, and `\*` and `\\` for themselves."""
    parts = re.findall(r"\\[*\\]|[^*]|\*", wildcards, re.DOTALL)
    return re.compile("".join(".*" if part == "*" else re.escape(part[-1]) for part in parts), re.DOTALL)
