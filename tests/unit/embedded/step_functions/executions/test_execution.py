"""Histories keep each text once."""

import json

import pytest
from ministack.services import stepfunctions

from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Execution, state_details
from embedded.step_functions.executions.execution_log import ExecutionLog


@pytest.fixture
def execution() -> Execution:
    arn = "arn:aws:states:us-east-1:123456789012:execution:machine:name"
    record = {"executionArn": arn, "status": "RUNNING", "events": []}
    return Execution(record, role_arn="role", cancellation=Cancellation(), log=ExecutionLog.of({}))


def test_the_output_of_a_state_and_the_input_of_the_next_share_their_text(execution: Execution) -> None:
    data = {"text": "x" * 1_000}
    execution.add_event("TaskStateExited", {"stateExitedEventDetails": state_details("A", "output", data)}, 0)
    execution.add_event("TaskStateEntered", {"stateEnteredEventDetails": state_details("B", "input", data)}, 1)
    execution.add_event("MapStateStarted", {"mapStateStartedEventDetails": {"length": 3}}, 2)
    exited, entered, started = execution.record["events"]
    assert exited["stateExitedEventDetails"]["output"] is entered["stateEnteredEventDetails"]["input"]
    assert json.loads(entered["stateEnteredEventDetails"]["input"]) == data
    assert [event["id"] for event in (exited, entered)] == [1, 2]
    assert started["mapStateStartedEventDetails"] == {"length": 3}
    stepfunctions.reset()
