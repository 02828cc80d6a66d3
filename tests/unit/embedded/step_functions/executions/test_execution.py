"""Histories keep each text once."""

import json

import pytest
from ministack.services import stepfunctions

from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Branch, Execution
from embedded.step_functions.executions.execution_log import ExecutionLog
from embedded.step_functions.states import run_states


@pytest.fixture
def execution() -> Execution:
    arn = "arn:aws:states:us-east-1:123456789012:execution:machine:name"
    record = {"executionArn": arn, "status": "RUNNING", "events": []}
    return Execution(record, role_arn="role", cancellation=Cancellation(), log=ExecutionLog.of({}))


def test_the_output_of_a_state_and_the_input_of_the_next_share_their_text(execution: Execution) -> None:
    data = {"text": "x" * 1_000}
    states = {
        "A": {"Type": "Pass", "Result": data, "Next": "B"},
        "B": {"Type": "Pass", "End": True},
    }
    branch = Branch(execution=execution, context={}, cancellation=execution.cancellation)
    assert run_states(branch, {"StartAt": "A", "States": states}, {}) == data
    _, exited, entered, last = execution.record["events"]
    text = exited["stateExitedEventDetails"]["output"]
    assert json.loads(text) == data
    assert entered["stateEnteredEventDetails"]["input"] is text
    assert last["stateExitedEventDetails"]["output"] is text
    assert [event["id"] for event in execution.record["events"]] == [1, 2, 3, 4]
    stepfunctions.reset()
