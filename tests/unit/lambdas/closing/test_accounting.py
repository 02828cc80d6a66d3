"""The accounting of an execution: what must add up, and what happens when it does not."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import codec, layout
from contract.job.parts import JobPart
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
from contract.workflow.summary import ExecutionSummary
from lambdas.closing.accounting import find_violations, job_violations, missing_records
from lambdas.errors import ClosingUnfinishedError
from lambdas.summarize_execution.handler import handler
from tests.unit.lambdas.builders import Context, Stage, any_job, failure_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
_ROWS = {"rows_in": 20, "rows_scored": 19, "rows_quarantined": 1}
SCORED: dict[str, Any] = {"status": JobStatus.SUCCEEDED, "commits": 2, **_ROWS}


def test_a_complete_job_has_no_violation() -> None:
    assert list(job_violations(any_job(**SCORED))) == []
    assert list(job_violations(any_job(status=JobStatus.FAILED, commits=1))) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": JobStatus.RUNNING}, "its record is RUNNING, although the execution has ended"),
        ({"commits": 1}, "it succeeded with 1 of 2 objects committed"),
        ({"status": JobStatus.FAILED, "commits": 3}, "3 objects are committed, but only 2 pinned"),
        ({"rows_scored": 18}, "20 rows in, but 18 scored + 1 in quarantine + 0 skipped = 19"),
        ({"rows_scored": 18, "rows_skipped": 1}, "only a fleet may skip rows"),
    ],
)
def test_a_job_that_does_not_add_up_is_named(changes: dict[str, Any], text: str) -> None:
    [found] = job_violations(any_job(**SCORED | changes))
    assert found.startswith("job delays-ua: ")
    assert text in found


def test_missing_records_of_jobs_and_parts_are_violations() -> None:
    part = any_job(job_id="big.part-1-of-2", part=JobPart("big", 1, 2))
    assert list(missing_records(3, [any_job(), part])) == [
        "the plan has 3 jobs, the table has records of 2",
        "job big: 1 of 2 parts have a record",
    ]


def test_outputs_of_unknown_jobs_and_of_other_layouts_are_violations(stage: Stage) -> None:
    start = "dataset=flights/execution_id=e-1/"
    for key in (
        f"predictions/{start}",
        f"predictions/{start}job_id=delays-ua/model_id=delays-ua/a.parquet",
        f"predictions/{start}job_id=stranger/a.parquet",
        f"quarantine/{start}note.txt",
        f"joined/{start}job_id=delays-ua/a.parquet",
        "predictions/dataset=flights/execution_id=e-10/job_id=other/a.parquet",
    ):
        stage.s3.put_object(Bucket=stage.results, Key=key, Body=b"" if key.endswith("/") else b"x")
    assert find_violations(1, [any_job(**SCORED)], stage.deployment.store) == (
        f"predictions/{start}job_id=stranger/: no job of the execution writes there",
        f"joined/{start}job_id=delays-ua/: no job of the execution writes there",
        f"quarantine/{start}note.txt: no job of the execution writes there",
    )


def test_an_execution_with_a_violation_does_not_succeed(opened: Stage, verify: Step, summarize: Step) -> None:
    opened.commit()
    verify(pointer_event())
    stray = "predictions/dataset=flights/execution_id=e-1/job_id=stranger/a.parquet"
    opened.s3.put_object(Bucket=opened.results, Key=stray, Body=b"x")
    first = summarize(summary_event({}))
    assert first["status"] == "PARTLY_FAILED"
    assert "The accounting of the execution does not hold:\n- predictions/" in first["cause"]
    assert opened.execution().violations == (f"{stray.rpartition('/')[0]}/: no job of the execution writes there",)
    opened.s3.delete_object(Bucket=opened.results, Key=stray)
    assert summarize(summary_event({})) == first


def test_the_summary_accounts_for_every_object(opened: Stage, classify: Step, summarize: Step) -> None:
    opened.commit(objects=1)
    classify(failure_event("States.TaskFailed", {"ProcessingJobStatus": "Failed", "ExitMessage": "DATA: b: cut"}))
    assert (opened.job().status, opened.job().commits) == (JobStatus.FAILED, 1)
    summarize(summary_event({}))
    summary = codec.from_json(ExecutionSummary, opened.read_json(layout.summary_key("e-1")))
    assert (summary.objects_pinned, summary.objects_committed, summary.objects_failed) == (2, 1, 1)
    assert (summary.jobs[0].objects_committed, summary.violations) == (1, ())


def test_a_stopped_job_shows_what_is_committed(opened: Stage, summarize: Step) -> None:
    opened.commit(objects=1)
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    assert (opened.job().status, opened.job().commits) == (JobStatus.FAILED, 1)


def test_jobs_are_closed_although_their_commits_cannot_be_counted(opened: Stage, summarize: Step) -> None:
    opened.s3.delete_object(Bucket=opened.results, Key=layout.job_spec_key("e-1", "delays-ua"))
    summarize(summary_event({}))
    assert (opened.job().status, opened.job().commits) == (JobStatus.FAILED, 0)


def test_closing_that_runs_out_of_time_continues_with_the_next_call(
    opened: Stage, summarize: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.table.put_item(Item=records.job_item(any_job(job_id="other")))
    with monkeypatch.context() as patch:
        left = iter([900_000, 900_000, *[0] * 9])
        patch.setattr(Context, "get_remaining_time_in_millis", lambda _: next(left))
        with pytest.raises(ClosingUnfinishedError, match="1 of its 2 jobs are still open"):
            handler(summary_event({}), Context())
    assert opened.execution().status is ExecutionStatus.RUNNING
    assert {opened.job("delays-ua").status, opened.job("other").status} == {JobStatus.FAILED, JobStatus.PENDING}
    assert summarize(summary_event({}))["status"] == "FAILED"
    assert opened.job("other").status is JobStatus.FAILED
