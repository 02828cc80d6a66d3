"""The schedule predicts whether running executions miss their deadlines."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contract import layout, spot_layout
from contract.deadlines.lateness import Lateness
from contract.status import JobStatus
from contract.table import records
from contract.table.records import record_time
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.resources import resources
from tests.unit.lambdas.builders import Stage, any_job
from tests.unit.lambdas.reconcile.test_reconcile import NO_DEADLINES, SCHEDULED, Step, sagemaker, workflow

__all__ = ["sagemaker", "workflow"]

pytestmark = pytest.mark.usefixtures("workflow", "sagemaker")


def expect(stage: Stage, *, job_seconds: float, deadline_in: float) -> None:
    """Let the running job take so many seconds by its plan, and the deadline come in so many."""
    job = replace(stage.job(), estimated_seconds=job_seconds)
    stage.table.put_item(Item=records.job_item(job, 2_000_000_000))
    deadline_at = record_time(datetime.now(UTC) + timedelta(seconds=deadline_in))
    execution = replace(stage.execution(), deadline_at=deadline_at, estimate=None)
    stage.table.put_item(Item=records.execution_item(execution, 2_000_000_000))


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return {name: value for line in lines for name, value in line.items() if name.startswith("Deadlines")}


def risks(done: dict[str, Any]) -> tuple[int, int]:
    return done["deadlines_at_risk"], done["deadlines_missed"]


def test_a_deadline_that_will_be_kept_changes_nothing(opened: Stage, reconcile: Step) -> None:
    expect(opened, job_seconds=600, deadline_in=3_600)
    assert risks(reconcile(SCHEDULED)) == (0, 0)
    assert opened.execution().lateness is None


def test_lateness_is_told_once_when_it_is_likely_and_once_when_it_is_certain(
    opened: Stage, reconcile: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    expect(opened, job_seconds=600, deadline_in=450)
    assert risks(reconcile(SCHEDULED)) == (1, 0)
    likely = opened.execution()
    assert likely.lateness is Lateness.LIKELY
    assert likely.expected_end_at > likely.deadline_at
    assert metrics(capsys) == {"DeadlinesAtRisk": [1.0], "DeadlinesMissed": [0.0]}
    assert risks(reconcile(SCHEDULED)) == (0, 0)

    expect(opened, job_seconds=600, deadline_in=100)
    assert risks(reconcile(SCHEDULED)) == (0, 1)
    assert opened.execution().lateness is Lateness.CERTAIN
    assert metrics(capsys) == {"DeadlinesAtRisk": [0.0], "DeadlinesMissed": [1.0]}
    # What was said is not taken back.
    expect(opened, job_seconds=600, deadline_in=3_600)
    assert risks(reconcile(SCHEDULED)) == (0, 0)
    assert opened.execution().lateness is Lateness.CERTAIN


def test_committed_objects_and_waiting_jobs_count(opened: Stage, reconcile: Step) -> None:
    opened.table.put_item(
        Item=records.job_item(any_job(job_id="other", status=JobStatus.PENDING, estimated_seconds=600.0), 2_000_000_000)
    )
    plan = opened.execution().plan
    assert plan is not None
    opened.table.put_item(
        Item=records.execution_item(replace(opened.execution(), plan=replace(plan, max_concurrency=1)), 2_000_000_000)
    )
    # One after the other, they take 1,200 seconds.
    expect(opened, job_seconds=600, deadline_in=1_000)
    assert risks(reconcile(SCHEDULED)) == (1, 0)
    # One of two objects is committed at once, so the running job is nearly done.
    opened.commit(objects=1)
    opened.table.put_item(Item=records.execution_item(replace(opened.execution(), lateness=None), 2_000_000_000))
    assert risks(reconcile(SCHEDULED)) == (0, 0)


def test_commits_on_spot_capacity_count_before_they_are_copied(opened: Stage, reconcile: Step) -> None:
    job = opened.job()
    on_spot = replace(job, compute=replace(job.compute, spot=True))
    opened.table.put_item(Item=records.job_item(on_spot, 2_000_000_000))
    expect(opened, job_seconds=600, deadline_in=400)
    # One of two objects, so about 300 seconds are left.
    key = spot_layout.spot_ledger_prefix("e-1", job.job_id, 1) + layout.segment_name(1, b"a commit")
    opened.s3.put_object(Bucket=opened.results, Key=key, Body=b"a commit")
    assert risks(reconcile(SCHEDULED)) == (0, 0)


def test_two_functions_at_once_tell_it_once(opened: Stage, reconcile: Step) -> None:
    expect(opened, job_seconds=600, deadline_in=450)
    stale = opened.execution()
    assert risks(reconcile(SCHEDULED)) == (1, 0)
    table = resources().open_executions
    assert not table.record_lateness(stale.execution_id, Lateness.LIKELY, "")
    assert table.record_lateness(stale.execution_id, Lateness.CERTAIN, "")
    assert not table.record_lateness(stale.execution_id, Lateness.LIKELY, "")


def test_a_prediction_that_fails_stops_nothing_else(
    opened: Stage, reconcile: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise RuntimeError("no listing")

    expect(opened, job_seconds=600, deadline_in=450)
    monkeypatch.setattr(ObjectStore, "results_below", refuse)
    assert reconcile(SCHEDULED) == {
        "executions_closed": 0,
        "jobs_stopped": 0,
        "leases_released": 0,
        **NO_DEADLINES,
        "unfinished": False,
    }
