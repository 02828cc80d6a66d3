"""Log lines of executions."""

import asyncio
import json
import time
from typing import Any

import pytest
from ministack.services import cloudwatch_logs

from tests.unit.embedded.step_functions.recorded.engine import Engine, one_state

FAIL = one_state({"Type": "Fail", "Error": "No", "Cause": "because"})


def logs(operation: str, **fields: Any) -> dict[str, Any]:
    headers = {"x-amz-target": f"Logs_20140328.{operation}"}
    request = cloudwatch_logs.handle_request("POST", "/", headers, json.dumps(fields).encode(), {})
    answer: dict[str, Any] = json.loads(asyncio.run(request)[2] or b"{}")
    return answer


def lines(engine: Engine, group: str, level: str, *, with_data: bool) -> tuple[str, list[dict[str, Any]]]:
    """Run a failing execution and return its ARN and its log."""
    logs("CreateLogGroup", logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}]
    configuration = {"level": level, "includeExecutionData": with_data, "destinations": destinations}
    machine = engine.create(FAIL, loggingConfiguration=configuration)
    execution = engine.call("StartExecution", stateMachineArn=machine, input='{"a":1}')["executionArn"]
    engine.wait(execution)
    if level != "OFF":
        _wait_for_ends(group, 1)
    return execution, _read(group)


def _read(group: str) -> list[dict[str, Any]]:
    found = logs("FilterLogEvents", logGroupName=group).get("events", [])
    return [json.loads(event["message"]) for event in found]


def _wait_for_ends(group: str, count: int) -> None:
    """Wait for the last line of an execution, which follows its end."""
    deadline = time.monotonic() + 30
    while [line["type"] for line in _read(group)].count("ExecutionFailed") < count and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("level", "types"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
def test_the_level_selects_events(engine: Engine, level: str, types: list[str]) -> None:
    _arn, found = lines(engine, f"/level/{level}", level, with_data=True)
    assert [line["type"] for line in found] == types


@pytest.mark.parametrize(("with_data", "data"), [(True, {"input": '{"a":1}'}), (False, {})])
def test_lines_have_the_recorded_fields(engine: Engine, data: dict[str, Any], *, with_data: bool) -> None:
    arn, found = lines(engine, f"/data/{with_data}", "ERROR", with_data=with_data)
    details = {"inputDetails": {"truncated": False}} if with_data else {}
    for line in found:
        assert isinstance(line.pop("event_timestamp"), str)
    same = {"execution_arn": arn, "redrive_count": "0"}
    assert found == [
        {
            **same, "id": "2", "type": "FailStateEntered", "previous_event_id": "0",
            "details": {"name": "S", **data, **details},
        },
        {
            **same, "id": "3", "type": "ExecutionFailed", "previous_event_id": "2",
            "details": {"error": "No", "cause": "because"},
        },
    ]  # fmt: skip


def test_a_redrive_logs_its_own_events_with_its_count(engine: Engine) -> None:
    arn, _found = lines(engine, "/redriven", "ALL", with_data=False)
    engine.call("RedriveExecution", executionArn=arn)
    engine.wait(arn)
    _wait_for_ends("/redriven", 2)
    found = _read("/redriven")
    assert [(line["type"], line["redrive_count"]) for line in found] == [
        ("ExecutionStarted", "0"), ("FailStateEntered", "0"), ("ExecutionFailed", "0"), ("ExecutionRedriven", "1"),
        ("ExecutionFailed", "1"),
    ]  # fmt: skip
