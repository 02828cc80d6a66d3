"""Wrong clocks of functions and instances: the promises hold, and a refusal names the clock."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cli.stage.diagnosis.attempt_logs import AttemptLogs
from cli.stage.predictions.pointers import Predictions
from contract.status import AttemptStatus, ExecutionKind, ExecutionStatus, FailureKind
from contract.table.records import AttemptRecord
from embedded.faults import FunctionClock, InstanceClock, KillInstance
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

MODEL, DATASET = "clocked", "clocked-people"
REQUEST = {"models": [MODEL]}
ACCEPTED = 840
"""Seconds by which a clock may be wrong until S3 and DynamoDB refuse requests, less a minute."""


@pytest.fixture(scope="module")
def _model(stage: Stage) -> Iterator[None]:
    stage.put_dataset(DATASET, {f"{n}.parquet": people(50, n) for n in range(3)})
    stage.register(MODEL, train_xgboost(3), dataset=DATASET)
    yield
    stage.catalog.set_enabled(MODEL, enabled=False)


@pytest.fixture
def clocked(stage: Stage, _model: None) -> Iterator[Stage]:
    yield stage
    stage.aws.faults.clear()


def attempts(stage: Stage, name: str) -> list[AttemptRecord]:
    return list(stage.executions.attempts(name)[MODEL])


def test_functions_disagree_about_the_time(clocked: Stage) -> None:
    """Ends are before starts by the functions' clocks, and later steps are in the past of earlier ones."""
    for function, seconds in (
        ("*PlanExecution*", ACCEPTED),
        ("*RecordAttempt*", ACCEPTED),
        ("*ClassifyFailure*", -ACCEPTED),
        ("*VerifyOutput*", -ACCEPTED),
        ("*SummarizeExecution*", -ACCEPTED),
    ):
        clocked.aws.faults.add(FunctionClock(function=function, seconds=seconds))
    clocked.aws.faults.add(KillInstance(objects=1))
    found = clocked.run(REQUEST, "clocks-disagree")
    assert found.status == ExecutionStatus.SUCCEEDED
    first, second = attempts(clocked, "clocks-disagree")
    assert (first.attempt, first.status, first.failure_kind) == (1, AttemptStatus.FAILED, FailureKind.TRANSIENT)
    assert (second.attempt, second.status) == (2, AttemptStatus.SUCCEEDED)
    ahead = datetime.fromisoformat(first.started_at) - datetime.now(UTC)
    assert timedelta(seconds=ACCEPTED - 120) < ahead < timedelta(seconds=ACCEPTED), "the function read a wrong clock"
    record, job = found.record, found.jobs[0]
    assert record is not None
    for each in (record, job, first, second):
        assert each.started_at <= each.ended_at, "nothing ends before it has started"
    assert clocked.summary("clocks-disagree").jobs[0].seconds >= 0
    assert len(clocked.aws.faults.happened(FunctionClock)) >= 5


def test_the_latest_predictions_are_those_of_the_later_plan(clocked: Stage) -> None:
    clocked.aws.faults.add(FunctionClock(seconds=ACCEPTED))
    clocked.run(REQUEST, "clocks-earlier")
    clocked.aws.faults.clear()
    clocked.aws.faults.add(FunctionClock(seconds=-ACCEPTED))
    clocked.run(REQUEST, "clocks-later")
    [found] = Predictions(clocked.connection, clocked.deployment).latest(DATASET, MODEL)
    assert found.pointer.execution_id == "clocks-later"


@pytest.mark.parametrize(("name", "seconds"), [("behind", -3600), ("ahead", 3600)])
def test_a_function_whose_signatures_are_refused_is_repeated(clocked: Stage, name: str, seconds: int) -> None:
    clocked.aws.faults.add(FunctionClock(function="*RecordAttempt*", seconds=seconds, count=1))
    found = clocked.run(REQUEST, f"clocks-{name}")
    assert found.status == ExecutionStatus.SUCCEEDED
    first, second = attempts(clocked, f"clocks-{name}")
    assert (first.failure_kind, first.rule) == (FailureKind.TRANSIENT, "clock of a function is wrong")
    assert "InvalidSignatureException" in first.cause
    assert second.status is AttemptStatus.SUCCEEDED


def test_records_are_closed_when_the_clocks_are_right_again(clocked: Stage) -> None:
    """With clocks an hour behind, no function can write anything after the plan, not even the end."""
    for function in ("RecordAttempt", "ClassifyFailure", "SummarizeExecution", "Reconcile"):
        clocked.aws.faults.add(FunctionClock(function=f"*{function}*"))
    name = clocked.executions.start(json.dumps(REQUEST), "clocks-all-wrong")
    states = clocked.client("stepfunctions")
    arn = clocked.executions.execution_arn(name)
    wait_for(lambda: states.describe_execution(executionArn=arn)["status"] == "FAILED", "its end")
    clocked.aws.faults.clear()
    clocked.aws.clock.set(clocked.aws.clock.now() + timedelta(minutes=16))
    found = wait_for(lambda: (read := clocked.executions.snapshot(name)).closed and read, "the reconciler closes it")
    assert found.status == ExecutionStatus.FAILED
    assert "Signature expired" in found.jobs[0].reason


def test_the_clock_of_instances_jumps_while_they_score(clocked: Stage) -> None:
    clocked.aws.faults.add(InstanceClock(seconds=3600))
    clocked.aws.faults.add(InstanceClock(seconds=-3600, rate=0.5, objects=1))
    clocked.aws.faults.add(KillInstance(objects=2))
    found = clocked.run(REQUEST, "clocks-instances")
    assert found.status == ExecutionStatus.SUCCEEDED
    assert [attempt.attempt for attempt in attempts(clocked, "clocks-instances")] == [1, 2]
    assert sorted(commit.object for commit in clocked.commits("clocks-instances", MODEL)) == [
        "0.parquet",
        "1.parquet",
        "2.parquet",
    ]
    lines = list(AttemptLogs(clocked.connection).read(attempts(clocked, "clocks-instances"), ExecutionKind.SCORING))
    moments = [line.moment - datetime.now(UTC) for line in lines]
    assert min(moments) < timedelta(minutes=-50), "lines of a clock that is behind are found too"
    assert max(moments) > timedelta(minutes=50)
