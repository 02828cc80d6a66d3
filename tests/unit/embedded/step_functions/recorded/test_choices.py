"""Comparisons of Choice states."""

from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import Engine, Scenario, at

MOMENT = "2026-03-01T00:00:00Z"
LATER = "2026-03-01T01:00:00+00:00"


def choice(rule: dict[str, Any], data: Any, *, matches: bool) -> Scenario:
    states = {
        "S": {"Type": "Choice", "Choices": [{"Variable": "$.v", **rule, "Next": "Yes"}], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": True, "End": True},
        "No": {"Type": "Pass", "Result": False, "End": True},
    }
    return Scenario(f"{rule} of {data!r}", {"StartAt": "S", "States": states}, {"v": data}, output=matches)


@pytest.mark.parametrize(
    ("operator", "matching", "others"),
    [
        # Numbers are no booleans, and booleans no numbers.
        ({"BooleanEquals": True}, [True], [1, 1.0, 0, "true", None, [], {}]),
        ({"BooleanEquals": False}, [False], [0, 0.0, 1, "", None]),
        ({"IsNumeric": True}, [0, 0.0, 1, 1.1], [True, False, "1", None, [], {}]),
        ({"IsNumeric": False}, [True, "1", None], [0, 1.5]),
        ({"IsBoolean": True}, [True, False], [0, 1, 0.0, "true", None]),
        ({"IsBoolean": False}, [0, None, "", [""]], [True, False]),
        ({"IsNull": True}, [None], [0, False, "", [], {}]),
        ({"IsString": True}, ["", " ", "a", MOMENT], [None, 0, True, [""], {"a": 0}]),
        ({"IsPresent": True}, [None, 0, "", False, []], []),
        ({"NumericEquals": 0}, [0, 0.0], [False, "0", None, 1]),
        ({"NumericEquals": 1}, [1, 1.0], [True]),
        ({"NumericEquals": 2.22}, [2.22], [2.2]),
        ({"NumericGreaterThan": 0}, [1], [0, True, "1"]),
        ({"NumericGreaterThanEquals": 0}, [0, 0.0, 1], [-1, False]),
        ({"NumericLessThan": 1}, [0, 0.0], [1, False]),
        ({"NumericLessThanEquals": 1}, [0, 1], [2, True]),
        ({"StringEquals": "Hello"}, ["Hello"], ["hello", "", None]),
        ({"StringGreaterThanEquals": "A"}, ["A", "AB"], ["", 0]),
        ({"StringLessThan": "AB"}, ["A", ""], ["AB", "B"]),
        ({"StringMatches": "log-*.txt"}, ["log-.txt", "log-1.txt"], ["log-1_txt", "a log-1.txt", 1]),
        ({"StringMatches": r"a\*b*"}, ["a*b", "a*bc"], ["aab", "a\\b"]),
        ({"TimestampEquals": MOMENT}, [MOMENT, "2026-03-01T01:00:00+01:00"], [LATER, "2026-03-01", 0]),
        ({"TimestampGreaterThan": MOMENT}, [LATER], [MOMENT, "2026-03-01 01:00:00Z", None]),
        ({"TimestampLessThanEquals": MOMENT}, [MOMENT], [LATER]),
    ],
    ids=str,
)
def test_operators_match_as_recorded(
    engine: Engine, operator: dict[str, Any], matching: list[Any], others: list[Any]
) -> None:
    for data in matching:
        engine.check(choice(operator, data, matches=True))
    for data in others:
        engine.check(choice(operator, data, matches=False))


@pytest.mark.parametrize(
    ("operator", "first", "second", "matches"),
    [
        ("StringLessThanPath", "A", "AB", True),
        ("StringGreaterThanPath", "A", "AB", False),
        ("StringGreaterThanEqualsPath", "AB", "A", True),
        ("StringLessThanEqualsPath", "", "", True),
        ("NumericLessThanPath", 0, 1, True),
        ("NumericEqualsPath", 0, 0.0, True),
        ("NumericEqualsPath", True, 1, False),
        ("BooleanEqualsPath", True, 1, False),
        ("BooleanEqualsPath", False, False, True),
        ("TimestampLessThanPath", MOMENT, LATER, True),
        ("TimestampEqualsPath", MOMENT, "2026-03-01", False),
    ],
)
def test_operators_compare_with_a_path(
    engine: Engine, operator: str, first: Any, second: Any, *, matches: bool
) -> None:
    scenario = choice({operator: "$.w"}, first, matches=matches)
    scenario.definition["States"]["S"]["Choices"][0]["Variable"] = "$.v.a"
    scenario.data["v"] = {"a": first}
    engine.check(Scenario(scenario.name, scenario.definition, {**scenario.data, "w": second}, output=matches))


def test_a_comparison_with_a_missing_value_fails_the_execution(engine: Engine) -> None:
    scenario = choice({"StringEquals": "a"}, "a", matches=True)
    text = "Invalid path '$.v': The choice state's condition path references an invalid value."
    engine.check(Scenario("", scenario.definition, {}, status="FAILED", error="States.Runtime", cause=at("S", text)))
