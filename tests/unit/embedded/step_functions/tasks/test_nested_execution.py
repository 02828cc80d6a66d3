"""Nested executions: result, failure, timeout and permissions."""

import json
import threading
from typing import Any

import pytest

from embedded.step_functions.executions import running
from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution import Execution
from embedded.step_functions.executions.execution_log import ExecutionLog
from tests.unit.embedded.step_functions.machines import Workflows, one_state

RESOURCE = "arn:aws:states:::states:startExecution"
SUCCEEDS = one_state({"Type": "Pass", "Result": {"n": 7}, "End": True})
FAILS = one_state({"Type": "Fail", "Error": "NoModel", "Cause": "nothing was trained"})


def nesting(machine: str, suffix: str = ".sync:2", **fields: Any) -> dict[str, Any]:
    parameters = {"StateMachineArn": machine, "Input": {"model": "churn"}}
    return one_state(
        {"Type": "Task", "End": True, "Resource": f"{RESOURCE}{suffix}", "Parameters": parameters, **fields}
    )


def allow(*actions: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def test_the_result_describes_the_nested_execution(workflows: Workflows) -> None:
    machine = workflows.create(SUCCEEDS)
    described = json.loads(workflows.run(nesting(machine))["output"])
    assert (described["Status"], described["StateMachineArn"]) == ("SUCCEEDED", machine)
    assert described["Output"] == {"n": 7}
    assert described["Input"] == {"model": "churn"}
    assert 0 <= described["StopDate"] - described["StartDate"] < 60_000
    assert described["StartDate"] > 1_000_000_000_000
    as_text = json.loads(workflows.run(nesting(machine, ".sync"))["output"])
    assert json.loads(as_text["Output"]) == {"n": 7}


def test_without_sync_the_task_does_not_wait(workflows: Workflows) -> None:
    machine = workflows.create(SUCCEEDS)
    started = json.loads(workflows.run(nesting(machine, ""))["output"])
    assert set(started) == {"ExecutionArn", "StartDate"}
    assert workflows.ended(started["ExecutionArn"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("suffix", [".sync", ".sync:2"])
def test_a_failed_nested_execution_is_the_cause_of_the_failure(workflows: Workflows, suffix: str) -> None:
    result = workflows.run(nesting(workflows.create(FAILS), suffix))
    assert (result["status"], result["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(result["cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "NoModel", "nothing was trained")


def test_a_name_in_use_fails_with_execution_already_exists(workflows: Workflows) -> None:
    definition = nesting(workflows.create(SUCCEEDS))
    definition["States"]["Only"]["Parameters"]["Name"] = "train-1"
    assert workflows.run(definition)["status"] == "SUCCEEDED"
    again = workflows.run(definition)
    assert again["error"] == "StepFunctions.ExecutionAlreadyExistsException"


def test_a_timeout_leaves_the_nested_execution_running(workflows: Workflows) -> None:
    """AWS documents a stop for tasks whose execution is stopped only."""
    machine = workflows.create(one_state({"Type": "Wait", "Seconds": 100_000, "End": True}))
    result = workflows.run(nesting(machine, TimeoutSeconds=1))
    assert result["error"] == "States.Timeout"
    [nested] = workflows.client.list_executions(stateMachineArn=machine)["executions"]
    assert nested["status"] == "RUNNING"
    workflows.client.stop_execution(executionArn=nested["executionArn"])


@pytest.mark.parametrize(
    ("missing", "action"),
    [(0, "states:StartExecution"), (1, "states:DescribeExecution"), (2, "states:StopExecution")],
)
def test_a_nested_execution_needs_each_permission(workflows: Workflows, missing: int, action: str) -> None:
    machine = workflows.create(SUCCEEDS)
    executions = machine.replace(":stateMachine:", ":execution:") + ":*"
    statements = [
        allow("states:StartExecution", resource=machine),
        allow("states:DescribeExecution", resource=executions),
        allow("states:StopExecution", resource=executions),
    ]
    rule = allow("events:PutTargets", "events:PutRule", "events:DescribeRule")
    rule["Resource"] = "arn:aws:events:*:*:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    assert workflows.run(nesting(machine), role_arn=workflows.role(rule, *statements))["status"] == "SUCCEEDED"
    del statements[missing]
    result = workflows.run(nesting(machine), role_arn=workflows.role(rule, *statements))
    assert result["error"] == "StepFunctions.AWSStepFunctionsException"
    assert (
        f"not authorized to perform: {action} on resource: {machine if missing == 0 else executions}"
        in (result["cause"])
    )


def test_creating_a_state_machine_needs_the_managed_rule(workflows: Workflows) -> None:
    machine = workflows.create(SUCCEEDS)
    with pytest.raises(
        workflows.client.exceptions.ClientError, match="StepFunctionsGetEventsForStepFunctionsExecutionR"
    ):
        workflows.create(nesting(machine), workflows.role(allow("states:*")))


def test_an_execution_is_found_before_its_thread_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"executionArn": "arn:aws:states:here:1:execution:m:nested", "status": "RUNNING"}
    run = Execution(record, role_arn="role", cancellation=Cancellation(), log=ExecutionLog.of({}))
    looked = threading.Event()

    def look(_arn: str) -> dict[str, Any]:
        looked.set()
        return record

    monkeypatch.setattr(running.workflows, "execution_record", look)

    def begin() -> None:
        assert looked.wait(10)
        running.add(run)

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        assert running.find_started(run.arn) is run
    finally:
        thread.join()
        running._running.pop(run.arn)
    record["status"] = "FAILED"
    assert running.find_started(run.arn) is None
