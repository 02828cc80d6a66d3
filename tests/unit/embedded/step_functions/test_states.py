"""Choice, Wait, Pass and Succeed states, from a definition to the output of its execution."""

import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, one_state


@pytest.mark.parametrize(
    ("rule", "is_taken"),
    [
        ({"And": [{"Variable": "$.n", "NumericGreaterThan": 1}, {"Variable": "$.s", "StringMatches": "a*"}]}, True),
        ({"And": [{"Variable": "$.n", "NumericGreaterThan": 1}, {"Variable": "$.s", "IsNull": True}]}, False),
        ({"Or": [{"Variable": "$.n", "NumericLessThan": 1}, {"Variable": "$.t", "IsTimestamp": True}]}, True),
        ({"Or": [{"Variable": "$.n", "NumericLessThan": 1}, {"Variable": "$.s", "StringEquals": "b"}]}, False),
        ({"Not": {"Variable": "$.missing", "IsPresent": True}}, True),
        ({"Variable": "$.n", "NumericEqualsPath": "$.same"}, True),
    ],
)
def test_a_choice_combines_comparisons(workflows: Workflows, rule: dict[str, Any], *, is_taken: bool) -> None:
    states = {
        "Choose": {"Type": "Choice", "Choices": [{**rule, "Next": "Taken"}], "Default": "Other"},
        "Taken": {"Type": "Pass", "Result": True, "End": True},
        "Other": {"Type": "Pass", "Result": False, "End": True},
    }
    data = {"n": 2, "same": 2, "s": "ab", "t": "2026-01-02T03:04:05Z"}
    result = workflows.run({"StartAt": "Choose", "States": states}, data)
    assert json.loads(result["output"]) is is_taken


def test_a_choice_without_a_match_fails(workflows: Workflows) -> None:
    states = {
        "Choose": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericEquals": 1, "Next": "Done"}]},
        "Done": {"Type": "Succeed"},
    }
    assert workflows.run({"StartAt": "Choose", "States": states}, {"n": 2})["error"] == "States.NoChoiceMatched"


@pytest.mark.parametrize("field", [{"Timestamp": "2020-01-01T00:00:00Z"}, {"TimestampPath": "$.at"}])
def test_a_wait_ends_at_a_moment(workflows: Workflows, field: dict[str, str]) -> None:
    data = {"at": "2020-01-01T00:00:00Z"}
    result = workflows.run(one_state({"Type": "Wait", "End": True, **field}), data)
    assert json.loads(result["output"]) == data


def test_paths_select_the_input_and_output_of_a_state(workflows: Workflows) -> None:
    states = {
        "Take": {"Type": "Pass", "InputPath": "$.a", "ResultPath": "$.b.c", "Next": "Show"},
        "Show": {"Type": "Succeed", "OutputPath": "$.b"},
    }
    result = workflows.run({"StartAt": "Take", "States": states}, {"a": 1, "b": {}})
    assert json.loads(result["output"]) == {"c": 1}
