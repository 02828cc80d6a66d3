import json
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

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


@pytest.mark.parametrize(
    ("scheduled_time", "zone", "dataset"),
    [
        # 01:00 in Berlin, on both sides of the clock change: every local day once.
        ("2026-03-28T00:00:00Z", "Europe/Berlin", "sales-2026-03-28"),
        ("2026-03-29T00:00:00Z", "Europe/Berlin", "sales-2026-03-29"),
        ("2026-03-29T23:00:00Z", "Europe/Berlin", "sales-2026-03-30"),
        ("2026-12-31T23:30:00Z", "UTC", "sales-2026-12-31"),
        ("2026-12-31T23:30:00Z", "Asia/Tokyo", "sales-2027-01-01"),
    ],
)
@pytest.mark.parametrize("has_database", [True, False])
def test_placeholders_are_filled_from_the_scheduled_time_in_the_schedules_zone(  # noqa: PLR0917 - fixtures and parameters
    workflow: StepFunctions,
    starter: ExecutionStarter,
    monkeypatch: pytest.MonkeyPatch,
    scheduled_time: str,
    zone: str,
    dataset: str,
    has_database: bool,
) -> None:
    if not has_database:

        def missing(name: str) -> None:
            raise ZoneInfoNotFoundError(name)

        monkeypatch.setattr("lambdas.start_on_schedule.start.ZoneInfo", missing)
    request = {"dataset": "sales-{date}", "models": ["a"]}
    for _ in range(2):
        start_on_schedule(ScheduledStart("nightly", scheduled_time, request, zone), starter)
    assert [json.loads(text) for text in workflow.running.values()] == [{"dataset": dataset, "models": ["a"]}]


def test_an_unknown_zone_is_refused(starter: ExecutionStarter) -> None:
    with pytest.raises(InvalidInputError, match=r"time_zone: got 'Mars/Base'.*`fleetscore schedules update`"):
        start_on_schedule(ScheduledStart("n", "2026-01-01T00:00:00Z", {"dataset": "a-{date}"}, "Mars/Base"), starter)
