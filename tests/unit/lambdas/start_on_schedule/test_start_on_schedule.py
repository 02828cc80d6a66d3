import json
from typing import Any

import pytest

from contract.problems import InvalidInputError
from contract.triggers.schedules import ScheduledStart
from lambdas.stage.messaging.execution_starter import ExecutionStarter
from lambdas.start_on_schedule.start import start_on_schedule

ARN = "arn:aws:states:eu-central-1:123456789012:stateMachine:fleetscore-dev"
START = ScheduledStart("nightly", "2026-03-29T01:30:00Z", {"models": ["a"]})


class ExecutionAlreadyExists(Exception):  # noqa: N818 - as botocore names it
    pass


class StepFunctions:
    """A fake StartExecution of standard workflows.

    A name can be used once, and again with the same input while the execution runs.
    """

    class exceptions:  # noqa: N801 - as botocore names it
        ExecutionAlreadyExists = ExecutionAlreadyExists

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.ended: set[str] = set()

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002, N803
        assert stateMachineArn == ARN
        if name in self.ended or self.running.get(name, input) != input:
            raise ExecutionAlreadyExists(name)
        self.running[name] = input
        return {"executionArn": f"{ARN}:{name}"}

    def end(self, name: str) -> None:
        del self.running[name]
        self.ended.add(name)


@pytest.fixture
def workflow() -> StepFunctions:
    return StepFunctions()


@pytest.fixture
def starter(workflow: StepFunctions) -> ExecutionStarter:
    return ExecutionStarter(workflow, ARN)


def test_a_delivery_starts_an_execution_with_the_request(workflow: StepFunctions, starter: ExecutionStarter) -> None:
    result = start_on_schedule(START, starter)
    assert (result.execution_id, result.name_was_used) == ("nightly-20260329T013000Z", False)
    assert {name: json.loads(text) for name, text in workflow.running.items()} == {
        "nightly-20260329T013000Z": {"models": ["a"]}
    }


def test_a_repeated_delivery_starts_no_execution(workflow: StepFunctions, starter: ExecutionStarter) -> None:
    first = start_on_schedule(START, starter)
    assert start_on_schedule(START, starter) == first
    workflow.end(first.execution_id)
    late = start_on_schedule(START, starter)
    assert (late.execution_id, late.name_was_used) == (first.execution_id, True)
    assert workflow.running == {}


def test_an_edited_request_starts_no_execution_for_the_same_time(
    workflow: StepFunctions, starter: ExecutionStarter
) -> None:
    start_on_schedule(START, starter)
    edited = ScheduledStart(START.schedule, START.scheduled_time, {})
    assert start_on_schedule(edited, starter).name_was_used
    assert len(workflow.running) == 1


def test_an_unfilled_scheduled_time_is_refused(starter: ExecutionStarter) -> None:
    with pytest.raises(InvalidInputError, match=r"scheduled_time.*<aws\.scheduler\.scheduled-time>"):
        start_on_schedule(ScheduledStart("nightly", "<aws.scheduler.scheduled-time>", {}), starter)
