"""Checks of the rules of a Choice state."""

from collections.abc import Iterator
from typing import Any

from embedded.step_functions.definition.problem import Problem, unsupported
from embedded.step_functions.expressions.comparisons import COMBINATIONS, LITERAL_KINDS, OPERANDS, PATH_OPERATORS
from embedded.step_functions.expressions.intrinsic_syntax import readable

_OPERATORS = LITERAL_KINDS.keys() | PATH_OPERATORS
_JSONATA = {"Condition", "Next", "Assign", "Output", "Comment"}


def rule_problems(rule: Any, here: str, query: str) -> Iterator[Problem]:
    """Yield the problems of one entry of Choices."""
    if not isinstance(rule, dict):
        yield Problem("Each rule must be an object", here)
        return
    if "Next" not in rule:
        yield Problem("The field 'Next' is required but was missing", here)
    if query == "JSONata":
        if "Condition" not in rule:
            yield Problem("The field 'Condition' is required but was missing", here)
        for field in sorted(rule.keys() - _JSONATA):
            yield Problem(f"The field '{field}' is not supported", f"{here}/{field}")
        return
    if "Assign" in rule:
        yield unsupported("Assign in JSONPath", f"{here}/Assign")
    yield from _condition(rule, here, {"Next", "Comment", "Assign"})


def _condition(rule: Any, here: str, known: set[str]) -> Iterator[Problem]:
    if not isinstance(rule, dict):
        yield Problem("Each rule must be an object", here)
        return
    tests = [field for field in rule if field in COMBINATIONS or field in _OPERATORS]
    for field in sorted(rule.keys() - known - {"Variable", *tests}):
        yield Problem(f"The field '{field}' is not a comparison operator", f"{here}/{field}")
    if len(tests) != 1:
        yield Problem(f"Exactly one comparison is needed, but the rule has {sorted(tests)}", here)
        return
    [test] = tests
    if test not in COMBINATIONS:
        yield from _comparison(rule, test, here)
        return
    if "Variable" in rule:
        yield Problem(f"The field 'Variable' is not supported beside '{test}'", f"{here}/Variable")
    parts = [rule[test]] if test == "Not" else rule[test]
    if not isinstance(parts, list) or not parts:
        yield Problem("Value cannot be empty", f"{here}/{test}")
        return
    for index, part in enumerate(parts):
        yield from _condition(part, f"{here}/{test}" if test == "Not" else f"{here}/{test}[{index}]", {"Comment"})


def _comparison(rule: dict[str, Any], operator: str, here: str) -> Iterator[Problem]:
    if "Variable" not in rule:
        yield Problem("The field 'Variable' is required but was missing", here)
    elif not readable(rule["Variable"]):
        yield Problem(f"Value is not a JSONPath: {rule['Variable']!r}", f"{here}/Variable")
    value = rule[operator]
    if operator in PATH_OPERATORS:
        if not readable(value):
            yield Problem(f"Value is not a JSONPath: {value!r}", f"{here}/{operator}")
        return
    kind = LITERAL_KINDS[operator]
    if OPERANDS[kind](value) is None:
        text = "String does not match RFC3339 timestamp" if kind == "Timestamp" else f"Value is not a {kind.lower()}"
        yield Problem(text, f"{here}/{operator}")
