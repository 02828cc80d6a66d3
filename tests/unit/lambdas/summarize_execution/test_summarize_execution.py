import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.workflow.summary import ExecutionSummary
from lambdas.errors import InvalidRequestError
from tests.unit.lambdas.builders import (
    Stage,
    any_execution,
    any_job,
    failure_event,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]


def summary_of(stage: Stage, execution_id: str = "e-1") -> ExecutionSummary:
    return codec.from_json(ExecutionSummary, stage.read_json(layout.summary_key(execution_id)))


@pytest.fixture
def two_jobs(stage: Stage, plan: Step, record: Step) -> Stage:
    for model_id in ("bad", "good"):
        stage.register(model_id)
    stage.upload()
    plan(plan_event({"execution_label": "nightly"}))
    for model_id in ("bad", "good"):
        record(pointer_event(model_id))
    stage.commit(job_id="good")
    return stage


def test_an_execution_succeeds_when_all_jobs_succeed(
    opened: Stage, verify: Step, summarize: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    opened.commit()
    verify(pointer_event())
    outcome = summarize(summary_event({"execution_id": "e-1"}))
    uri = "s3://results-test/executions/e-1/summary.json"
    assert outcome == {"schema_version": 2, "status": "SUCCEEDED", "summary_uri": uri, "cause": ""}
    record, summary = opened.execution(), summary_of(opened)
    assert (record.status, record.summary_uri, record.jobs_succeeded) == (ExecutionStatus.SUCCEEDED, uri, 1)
    assert (summary.status, summary.rows_scored, summary.rows_quarantined) == (ExecutionStatus.SUCCEEDED, 19, 1)
    (job,) = summary.jobs
    assert job.predictions_uris == (
        "s3://results-test/predictions/dataset=flights/execution_id=e-1/job_id=delays-ua/model_id=delays-ua/",
    )
    assert job.seconds >= 0
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert metrics[-1]["stage"] == "test"
    expected = {"JobsSucceeded": 1.0, "JobsFailed": 0.0, "RowsScored": 19.0, "RowsQuarantined": 1.0, "RowsSkipped": 0.0}
    assert {name: metrics[-1][name] for name in expected} == {name: [count] for name, count in expected.items()}


def test_notes_of_commits_are_in_the_summary_once(opened: Stage, verify: Step, summarize: Step) -> None:
    spec = opened.spec()
    for index, item in enumerate(opened.objects()):
        commit = opened.write_outputs(spec, spec.models[0], item)
        notes = ("predicted by daal4py", "a warning") if index == 0 else ("a warning",)
        opened.write_segment(spec, replace(commit, notes=notes))
    verify(pointer_event())
    summarize(summary_event({"execution_id": "e-1"}))
    (job,) = summary_of(opened).jobs
    assert job.notes == ("delays-ua: a warning", "delays-ua: predicted by daal4py")
    assert opened.job().notes == job.notes


def test_some_failed_jobs_make_the_execution_partly_failed(
    two_jobs: Stage, verify: Step, classify: Step, summarize: Step
) -> None:
    verify(pointer_event("good"))
    described = {"ProcessingJobStatus": "Failed", "ExitMessage": "MODEL: bad: digest differs"}
    classify(failure_event("States.TaskFailed", described, job_id="bad"))
    outcome = summarize(summary_event({}))
    assert outcome["status"] == "PARTLY_FAILED"
    assert "1 of 2 jobs failed:\n- bad: MODEL: bad: digest differs" in outcome["cause"]
    assert "`fleetscore status e-1`" in outcome["cause"]
    summary = summary_of(two_jobs)
    assert [(job.job_id, job.failure_kind) for job in summary.jobs] == [("bad", FailureKind.MODEL), ("good", None)]
    assert (summary.label, summary.jobs_total, summary.jobs_failed) == ("nightly", 2, 1)


def test_an_execution_without_successful_jobs_fails(two_jobs: Stage, summarize: Step) -> None:
    outcome = summarize(summary_event({}))
    assert outcome["status"] == "FAILED"
    assert two_jobs.job("bad").status is JobStatus.FAILED
    assert two_jobs.attempt(job_id="bad").status is AttemptStatus.FAILED


def test_open_records_are_closed_when_the_map_fails(two_jobs: Stage, verify: Step, summarize: Step) -> None:
    verify(pointer_event("good"))
    failure = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "threshold reached"}
    outcome = summarize(summary_event({"failure": failure}))
    bad, attempt = two_jobs.job("bad"), two_jobs.attempt(job_id="bad")
    assert (bad.status, bad.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    assert "tolerated_failure_percentage" in bad.reason
    assert (attempt.status, attempt.reason) == (AttemptStatus.FAILED, bad.reason)
    assert two_jobs.job("good").status is JobStatus.SUCCEEDED
    assert outcome["status"] == "PARTLY_FAILED"
    assert "States.ExceedToleratedFailureThreshold" in outcome["cause"]


def test_summarizing_twice_gives_the_same_outcome(two_jobs: Stage, verify: Step, summarize: Step) -> None:
    verify(pointer_event("good"))
    first = summarize(summary_event({}))
    record, summary = two_jobs.execution(), summary_of(two_jobs)
    assert summarize(summary_event({"failure": {"Error": "Late", "Cause": "x"}})) == first
    assert (two_jobs.execution(), summary_of(two_jobs)) == (record, summary)


def test_a_refused_request_is_summarized_with_its_problems(stage: Stage, plan: Step, summarize: Step) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({"models": ["nobody"], "colour": "red"}))
    cause = json.dumps({"errorMessage": str(refusal.value), "errorType": "InvalidRequestError"})
    request = {"models": ["nobody"], "colour": "red"}
    state = {"request": request, "failure": {"Error": "InvalidRequestError", "Cause": cause}}
    outcome = summarize(summary_event(state))
    assert (outcome["status"], outcome["cause"]) == ("FAILED", str(refusal.value))
    assert stage.execution().summary_uri == outcome["summary_uri"]
    assert summary_of(stage).request == {"models": ["nobody"], "colour": "red"}


def test_an_execution_without_a_plan_still_gets_records(stage: Stage, summarize: Step) -> None:
    failure = {"Error": "Lambda.Unknown", "Cause": "The function was killed"}
    outcome = summarize(summary_event({"request": {"dataset": "flights"}, "failure": failure}))
    assert outcome["status"] == "FAILED"
    assert "Nothing was scored. The plan failed: Lambda.Unknown: The function was killed" in outcome["cause"]
    record = stage.execution()
    assert (record.status, json.loads(record.request_json)) == (ExecutionStatus.FAILED, {"dataset": "flights"})
    assert summary_of(stage).jobs == ()


def test_a_failed_plan_names_the_next_action(stage: Stage, summarize: Step) -> None:
    failure = {"Error": "ClientError", "Cause": "not authorized to perform: s3:ListBucket"}
    cause = summarize(summary_event({"request": {}, "failure": failure}))["cause"]
    assert "Fix the cause, then start a new execution." in cause
    failure = {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}
    cause = summarize(summary_event({"request": {}, "failure": failure}, execution_id="e-2"))["cause"]
    assert "Fix" not in cause
    assert "Start a new execution." in cause


@pytest.mark.parametrize("depth", [50, 150, 400])
def test_a_deeply_nested_request_is_summarized_as_text(stage: Stage, plan: Step, summarize: Step, depth: int) -> None:
    request: Any = 1
    for _ in range(depth):
        request = [request]
    with pytest.raises(InvalidRequestError):
        plan(plan_event(request))
    assert summarize(summary_event({"request": request}))["status"] == "FAILED"
    text = json.dumps(request)
    assert summary_of(stage).request == (request if depth == 50 else text)


def test_a_request_with_infinity_is_summarized_as_text(stage: Stage, plan: Step, summarize: Step) -> None:
    """Python parses a number such as 1e400 as infinity, and writes it as a word that is not JSON."""
    request = {"max_concurrency": float("inf")}
    with pytest.raises(InvalidRequestError):
        plan(plan_event(request))
    summarize(summary_event({"request": request}))
    assert summary_of(stage).request == '{"max_concurrency": Infinity}'


def test_records_of_an_earlier_execution_with_the_same_name_are_kept(planned: Stage, summarize: Step) -> None:
    before = planned.execution()
    outcome = summarize(summary_event({}, started_at="2026-09-01T00:00:00.000Z"))
    assert outcome["status"] == "FAILED"
    assert "another name" in outcome["cause"]
    assert (planned.execution(), planned.job().status) == (before, JobStatus.PENDING)


def test_the_cause_lists_only_some_of_many_failed_jobs(stage: Stage, summarize: Step) -> None:
    stage.deployment.table.open_execution(any_execution())
    stage.deployment.table.add_jobs(any_job(job_id=f"m-{number:03d}") for number in range(12))
    outcome = summarize(summary_event({"failure": {"Error": "States.Runtime", "Cause": "x" * 30_000}}))
    assert "- and 7 more" in outcome["cause"]
    assert len(json.dumps(outcome)) < 10_000
    assert summary_of(stage).jobs_failed == 12
