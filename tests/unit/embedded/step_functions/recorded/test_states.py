"""Wait, Fail, Pass and Task states: times, paths and causes."""

import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import Engine, Scenario, at, one_state, parameters

RUNTIME = "States.Runtime"


def wait(field: str, value: Any, text: str) -> Scenario:
    data = {} if value is None else {"x": value}
    events = ["ExecutionStarted", "WaitStateEntered", "ExecutionFailed"]
    return Scenario(
        f"{field} {value!r}", one_state({"Type": "Wait", field: "$.x"}), data, status="FAILED", error=RUNTIME,
        cause=at("S", text), events=events,
    )  # fmt: skip


def no_timestamp(value: str) -> Scenario:
    problem = "does not reference a valid ISO-8601 extended offset date-time format string"
    return wait("TimestampPath", value, f"The TimestampPath parameter {problem}: $.x == {value}")


WAITS = [
    wait("SecondsPath", 1.5, "The SecondsPath parameter cannot be parsed as a long value: $.x == 1.5"),
    wait("SecondsPath", -1.5, "The SecondsPath parameter cannot be parsed as a long value: $.x == -1.5"),
    wait("SecondsPath", -1, "The SecondsPath parameter references a negative value: $.x == -1"),
    wait("SecondsPath", None, "The SecondsPath parameter does not reference an input value: $.x"),
    wait("SecondsPath", 2**31, "Wait state delay is too long."),
    no_timestamp("2026-12-05 21:29:29Z"),
    no_timestamp("2026-12-05T21:29:29"),
    no_timestamp("2026-13-05T21:29:29Z"),
    no_timestamp("2026-12-05T25:29:29Z"),
    no_timestamp("05-12-2026T21:29:29Z"),
    wait("TimestampPath", "9999-12-05T21:29:29Z", "Wait state delay is too long."),
]
PATHS = [
    Scenario(
        "InputPath", one_state({"Type": "Pass", "InputPath": "$.gone"}), {"a": 0}, error=RUNTIME,
        cause=at("S", "Invalid path '$.gone' : No results for path: $['gone']"),
        events=["ExecutionStarted", "PassStateEntered", "ExecutionFailed"],
    ),
    Scenario(
        "OutputPath", one_state({"Type": "Pass", "OutputPath": "$.not.there"}), error=RUNTIME,
        cause=at("S", "Invalid path '$.not.there' : Missing property in path $['not']"),
    ),
    Scenario(
        "template", one_state({"Type": "Pass", "Parameters": {"value.$": "$.gone"}}), {"a": 0}, error=RUNTIME,
        cause=at(
            "S", "The JSONPath '$.gone' specified for the field 'value.$' could not be found in the input '{\"a\":0}'"
        ),
    ),
    Scenario(
        "context object", one_state({"Type": "Pass", "Parameters": {"value.$": "$$.Execution.Input.gone"}}), {"a": 0},
        error=RUNTIME,
        cause=at(
            "S",
            "The JSONPath '$$.Execution.Input.gone' specified for the field 'value.$' could not be found in the input "
            "'{\"a\":0}'",
        ),
    ),
    Scenario(
        "ErrorPath", one_state({"Type": "Fail", "ErrorPath": "$.gone"}), {"a": 0}, error=RUNTIME,
        cause=at(
            "S", "The JSONPath '$.gone' specified for the field 'ErrorPath' could not be found in the input '{\"a\":0}'"
        ),
    ),
    Scenario(
        "TimeoutSecondsPath",
        one_state({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "TimeoutSecondsPath": "$.gone"}),
        error=RUNTIME, cause=at("S", "Invalid path '$.gone' : No results for path: $['gone']"),
        events=["ExecutionStarted", "TaskStateEntered", "ExecutionFailed"],
    ),
]  # fmt: skip
ENDS = [
    Scenario(
        "Fail without Error and Cause", one_state({"Type": "Fail"}), status="FAILED", error="", cause="",
        events=["ExecutionStarted", "FailStateEntered", "ExecutionFailed"],
    ),
    Scenario(
        "Fail", one_state({"Type": "Fail", "Error": "No", "CausePath": "$.why"}), {"why": "w"}, status="FAILED",
        error="No", cause="w", details={"ExecutionFailed": {"error": "No", "cause": "w"}},
    ),
    Scenario(
        "a state's output that is too large",
        one_state({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}}), "x" * 140_000, status="FAILED",
        error="States.DataLimitExceeded",
        cause="The state/task 'S' returned a result with a size exceeding the maximum number of bytes service limit.",
        events=["ExecutionStarted", "PassStateEntered", "ExecutionFailed"],
    ),
    Scenario(
        "details of the first and the last event", one_state({"Type": "Pass"}), {"a": 1}, status="SUCCEEDED",
        details={
            "ExecutionStarted": {"input": '{"a": 1}', "inputDetails": {"truncated": False}},
            "ExecutionSucceeded": {"output": '{"a":1}', "outputDetails": {"truncated": False}},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("scenario", parameters([*WAITS, *PATHS, *ENDS]))
def test_executions_end_as_recorded(engine: Engine, scenario: Scenario) -> None:
    engine.check(scenario)


@pytest.mark.parametrize("state", [{"SecondsPath": "$.x"}, {"Seconds": 0}])
def test_a_wait_of_no_time_ends(engine: Engine, state: dict[str, Any]) -> None:
    engine.check(Scenario("", one_state({"Type": "Wait", **state}), {"x": 0}, status="SUCCEEDED", output={"x": 0}))


def test_the_first_events_have_no_predecessor(engine: Engine) -> None:
    history = engine.history(engine.run(one_state({"Type": "Pass"}), {}))
    assert [event["previousEventId"] for event in history] == [0, 0, 2, 3]


def test_only_task_states_have_a_retry_count(engine: Engine) -> None:
    state = {"Type": "Pass", "Parameters": {"state.$": "$$.State"}}
    output = json.loads(engine.described(engine.run(one_state(state), {}))["output"])
    assert set(output["state"]) == {"Name", "EnteredTime"}


def test_deleting_an_unknown_state_machine_succeeds(engine: Engine) -> None:
    unknown = "arn:aws:states:us-east-1:000000000000:stateMachine:unknown"
    assert engine.call("DeleteStateMachine", stateMachineArn=unknown) == {}
