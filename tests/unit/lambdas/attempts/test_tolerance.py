"""Past a tolerated level an execution starts no new jobs, and its counters count each job once."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import layout
from contract.job.parts import JobPart
from contract.status import AttemptStatus, FailureKind, JobStatus
from contract.table.records import AttemptRecord, JobRecord
from contract.table.tolerance import Tally, add_tallies, limits_failures, passed_level, tally_of
from contract.workflow.messages import ExecutionPlan
from lambdas.errors import ToleranceExceededError
from tests.unit.lambdas.builders import (
    STARTED_AT,
    Stage,
    any_execution,
    any_job,
    failure_event,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]
FAILED = {"ProcessingJobStatus": "Failed", "ExitMessage": "DATA: a.parquet: it is cut"}


def plan_of(jobs: int = 10, objects: int = 100, **levels: float) -> ExecutionPlan:
    names = ("tolerated_failure", "tolerated_failed_objects", "tolerated_quarantined_rows")
    percentages = {f"{name}_percentage": levels.get(name.removeprefix("tolerated_"), 100.0) for name in names}
    return ExecutionPlan("e-1", "results-test", layout.jobs_key("e-1"), jobs, 5, object_count=objects, **percentages)


@pytest.mark.parametrize(
    ("levels", "tally", "text"),
    [
        ({"failure": 10}, Tally(failed_jobs=1), ""),
        ({"failure": 10}, Tally(failed_jobs=1, failed_split_jobs=frozenset({"big"})), "jobs: 2 of 10 have failed"),
        ({"failure": 0}, Tally(failed_jobs=1), "tolerated_failure_percentage is 0"),
        ({"failed_objects": 5}, Tally(failed_jobs=9, failed_objects=5), ""),
        ({"failed_objects": 5}, Tally(failed_objects=6), "objects: 6 of 100 have failed"),
        # 10 of 100 objects have 1,000 rows, so all have about 10,000.
        ({"quarantined_rows": 1}, Tally(scored_objects=10, rows_in=1_000, rows_quarantined=100), ""),
        ({"quarantined_rows": 1}, Tally(scored_objects=10, rows_in=1_000, rows_quarantined=101), "of about 10,000 are"),
        ({"quarantined_rows": 0}, Tally(scored_objects=100, rows_in=500, rows_quarantined=1), "rows: 1 of 500 are in"),
        ({}, Tally(failed_jobs=10, failed_objects=100), ""),
    ],
)
def test_a_level_is_passed_above_its_share_of_the_whole_execution(
    levels: dict[str, float], tally: Tally, text: str
) -> None:
    plan = plan_of(**levels)
    assert bool(passed_level(plan, tally)) == bool(text)
    assert text in passed_level(plan, tally)
    assert limits_failures(plan) == bool(levels)


def test_a_stopped_job_is_no_failure_and_failed_parts_are_one_job() -> None:
    failed = any_job(status=JobStatus.FAILED, failure_kind=FailureKind.DATA, commits=1)
    assert tally_of(failed) == Tally(failed_jobs=1, failed_objects=1)
    assert not tally_of(replace(failed, failure_kind=FailureKind.STOPPED))
    parts = [replace(failed, job_id=f"big.part-{n}-of-2", part=JobPart("big", n, 2)) for n in (1, 2)]
    total = add_tallies(map(tally_of, parts))
    assert (total.failed_jobs, total.failed_split_jobs, total.failed_objects) == (0, {"big"}, 2)


def ended(number: int) -> JobRecord:
    """Return the end of one of ten jobs: four succeed, three fail, one is stopped, two are failed parts."""
    job = any_job(job_id=f"job-{number}", attempt=1, ended_at=STARTED_AT)
    if number < 4:
        counts: dict[str, Any] = {"commits": 2, "rows_in": 20, "rows_scored": 19, "rows_quarantined": 1}
        return replace(job, status=JobStatus.SUCCEEDED, **counts)
    kind = FailureKind.STOPPED if number == 7 else FailureKind.DATA
    part = JobPart("big", number - 7, 2) if number > 7 else None
    return replace(job, status=JobStatus.FAILED, failure_kind=kind, reason="it is cut", commits=1, part=part)


@pytest.mark.parametrize("seed", range(5))
def test_doubled_late_and_shuffled_ends_count_each_job_once(stage: Stage, seed: int) -> None:
    table = stage.deployment.table
    table.open_execution(any_execution(plan=plan_of(jobs=10)))
    ends = [ended(number) for number in range(10)]
    opened = [replace(any_job(job_id=end.job_id), part=end.part) for end in ends]
    table.add_jobs(opened)
    for job in opened:
        table.open_attempt(job, attempt_of(job))
    calls = [*ends, *ends, *ends]
    random.Random(seed).shuffle(calls)
    for end in calls:
        read = replace(end, status=JobStatus.RUNNING)
        table.end_attempt(read, end, ended_at=STARTED_AT, tally=tally_of(end))
    assert table.tally("e-1") == add_tallies(map(tally_of, ends))
    assert table.tally("e-1").failed_split_jobs == {"big"}


def attempt_of(job: JobRecord) -> AttemptRecord:
    return AttemptRecord(
        execution_id=job.execution_id,
        job_id=job.job_id,
        attempt=1,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name="",
        object_count=2,
        instance_type="ml.m5.large",
        instance_count=1,
        started_at=STARTED_AT,
    )


@pytest.fixture
def past_a_level(stage: Stage, plan: Step, record: Step, classify: Step) -> Stage:
    """Return a stage whose execution tolerates less than a third of failed jobs; one has failed, and one runs."""
    for model_id in ("bad", "late", "runs"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({"tolerated_failure_percentage": 30}))
    record(pointer_event("bad"))
    record(pointer_event("runs"))
    classify(failure_event("States.TaskFailed", FAILED, job_id="bad"))
    return stage


def test_no_attempt_starts_past_a_level_and_running_jobs_go_on(
    past_a_level: Stage, record: Step, classify: Step, verify: Step, summarize: Step
) -> None:
    stage = past_a_level
    with pytest.raises(ToleranceExceededError) as refusal:
        record(pointer_event("late"))
    text = "jobs: 1 of 3 have failed, tolerated_failure_percentage is 30; first: bad: DATA: a.parquet: it is cut"
    assert text in str(refusal.value)
    decision = classify(failure_event("ToleranceExceededError", {"errorMessage": str(refusal.value)}, job_id="late"))
    assert (decision["try_again"], decision["kind"]) == (False, "STOPPED")
    assert text in stage.job("late").reason
    stage.commit(job_id="runs")
    verify(pointer_event("runs"))

    outcome = summarize(summary_event({}))
    assert outcome["status"] == "PARTLY_FAILED"
    assert f"More failed than the execution tolerates. {text}" in outcome["cause"]
    assert [stage.job(job).status.value for job in ("bad", "late", "runs")] == ["FAILED", "FAILED", "SUCCEEDED"]


def test_rows_in_quarantine_above_the_level_fail_an_execution_whose_jobs_succeeded(
    stage: Stage, plan: Step, record: Step, verify: Step, summarize: Step
) -> None:
    stage.register()
    stage.upload()
    plan(plan_event({"tolerated_quarantined_rows_percentage": 4}))
    record(pointer_event())
    stage.commit()
    verify(pointer_event())
    outcome = summarize(summary_event({}))
    assert outcome["status"] == "PARTLY_FAILED"
    assert "rows: 1 of 20 are in quarantine, tolerated_quarantined_rows_percentage is 4" in outcome["cause"]


def test_by_default_nothing_is_counted(opened: Stage, classify: Step) -> None:
    classify(failure_event("States.TaskFailed", FAILED))
    assert not opened.deployment.table.tally("e-1")
