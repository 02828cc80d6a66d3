import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import pytest

from cli.command_line.program import fleetscore
from cli.stage.diagnosis.chain import Chain, explain
from cli.stage.diagnosis.container_log import FailedObject
from cli.stage.diagnosis.evidence import Evidence, explaining_job
from cli.stage.diagnosis.sagemaker_jobs import SageMakerJob
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.views.diagnosis.chain import chain_json, chain_lines, verdict_line
from contract.status import AttemptStatus, ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table.records import JobRecord
from tests.unit.cli.builders import NOW, any_attempt, any_execution, running_job, succeeded_job

END = datetime(2026, 3, 1, 12, 0, 25, tzinfo=UTC)
REMEDY = "Correct the objects of the dataset"
REASON = "object 'a.csv', model 'churn': row 7 cannot be scored: column 'age': not a number"
FAILED_OBJECT = FailedObject(END, "a.csv", "churn", "DATA", REASON, "row 7", "row 7: column 'age': 'seven'")


def snapshot_of(*jobs: JobRecord, status: str = "FAILED", **changes: Any) -> Snapshot:
    recorded = status if status in ExecutionStatus.__members__ else "FAILED"
    workflow = WorkflowState(status, NOW, None if status == "RUNNING" else END, cause=changes.pop("cause", ""))
    record = any_execution(status=ExecutionStatus(recorded), ended_at="2026-03-01T12:00:25Z", **changes)
    return Snapshot("nightly-1", NOW, workflow, record, jobs)


def failed(job_id: str = "churn", kind: FailureKind = FailureKind.DATA, **changes: Any) -> JobRecord:
    fields = {"ended_at": "2026-03-01T12:00:25Z", "reason": "a reason", "failure_kind": kind, "commits": 3, **changes}
    return running_job(job_id, status=JobStatus.FAILED, **fields)


def attempt_of(job: JobRecord, number: int = 1, **changes: Any) -> Any:
    fields = {
        "status": AttemptStatus.FAILED,
        "ended_at": "2026-03-01T12:00:24Z",
        "failure_kind": job.failure_kind,
        "reason": job.reason,
        "rule": "container: data",
        "cause": f"DATA: 1 of 4 objects failed: {REASON}",
        "remedy": REMEDY,
        **changes,
    }
    return any_attempt(job.job_id, number, **fields)


def evidence_of(job: JobRecord, *, status: str = "FAILED", **changes: Any) -> Evidence:
    fields: dict[str, Any] = {"attempts": (attempt_of(job),), **changes}
    return Evidence(snapshot_of(job, status=status, cause=fields.pop("cause", "")), job=job, **fields)


def texts(chain: Chain) -> list[str]:
    return [f"{step.what}: {step.text}" for step in chain.steps]


def test_the_chain_goes_from_the_job_to_the_row() -> None:
    sagemaker = SageMakerJob(
        "dev-churn-1", "Failed", END, "AlgorithmError: exit code: 1", f"DATA: 1 of 4 objects failed: {REASON}"
    )
    chain = explain(evidence_of(failed(), sagemaker_job=sagemaker, failed_object=FAILED_OBJECT))
    assert chain.verdict == "nightly-1 is FAILED: 1 of 1 job failed."
    assert texts(chain) == [
        "job churn: FAILED (DATA), 3 of 4 objects committed, 1 of at most 3 attempts",
        "attempt 1 of at most 3: FAILED (DATA), by the rule 'container: data' of the decision table",
        "SageMaker job dev-churn-1: Failed: AlgorithmError: exit code: 1",
        "exit message of its container: DATA: 1 of 4 objects failed",
        "object a.csv, model churn: DATA: row 7 cannot be scored: column 'age': not a number",
        "row 7, in the log: column 'age': 'seven'",
    ]
    assert all(step.moment for step in chain.steps)
    assert (chain.remedy, chain.next_command) == (REMEDY, "fleetscore resume nightly-1")
    lines = chain_lines(chain, None)
    assert lines[0].startswith("  2026-03-01T12:00:25.000Z job churn: FAILED")
    assert lines[-2:] == [f"To do: {REMEDY}", "Next: fleetscore resume nightly-1"]
    assert verdict_line(chain) == "2026-03-01T12:00:25.000Z nightly-1 is FAILED: 1 of 1 job failed."
    assert chain_json(chain)["steps"][0]["time"] == "2026-03-01T12:00:25.000Z"


def test_a_text_of_a_function_is_the_cause_when_sagemaker_succeeded() -> None:
    cause = "OutputIncompleteError: 1 output has another checksum"
    attempt = attempt_of(failed(), rule="output incomplete", cause=cause)
    chain = explain(
        evidence_of(failed(), attempts=(attempt,), sagemaker_job=SageMakerJob("dev-churn-1", "Completed", END))
    )
    assert texts(chain)[-2:] == [f"SageMaker job {attempt.sagemaker_job_name}: Completed", f"reported: {cause}"]


def test_earlier_attempts_with_other_reasons_are_in_the_chain() -> None:
    first = attempt_of(failed(), rule="killed", cause="killed: exit code 137", failure_kind=FailureKind.TRANSIENT)
    job = failed(attempt=2)
    chain = explain(evidence_of(job, attempts=(first, attempt_of(job, 2))))
    assert (
        "attempt 1, before: FAILED (TRANSIENT), by the rule 'killed' of the decision table: killed: exit code 137"
        in texts(chain)
    )


def test_a_stop_by_hand_is_the_cause_with_the_operators_words() -> None:
    job = failed(kind=FailureKind.STOPPED, reason="The execution was stopped by hand before this job ended (enough).")
    closed = attempt_of(job, rule="", cause="", remedy="")
    chain = explain(evidence_of(job, status="ABORTED", cause="enough", attempts=(closed,)))
    assert texts(chain)[-1] == "StopExecution: stopped by hand: enough"
    assert "attempt 1 of at most 3: FAILED, closed together with the execution" in texts(chain)
    assert (chain.remedy, chain.next_command) == ("", "fleetscore resume nightly-1")


def test_an_execution_that_was_never_planned_is_started_again_not_resumed() -> None:
    job = failed(kind=FailureKind.STOPPED, attempt=0)
    stopped = Evidence(snapshot_of(job, status="ABORTED", plan=None), job=job)
    assert explain(stopped).next_command == "fleetscore run --input '{}'"
    resuming = Evidence(snapshot_of(job, status="ABORTED", plan=None, resumes="sunday-1"), job=job)
    assert explain(resuming).next_command == "fleetscore resume sunday-1"


def test_a_job_that_others_stopped_leads_to_the_first_of_them() -> None:
    first, last = failed("ads", reason="no rows"), failed("churn", FailureKind.STOPPED, attempt=0, reason="ended early")
    snapshot = snapshot_of(first, last)
    assert explaining_job(snapshot) == first
    chain = explain(Evidence(snapshot, asked_job="churn", job=last))
    assert texts(chain)[-2:] == ["reported: ended early", "job ads, before: no rows"]


def test_a_refused_request_shows_every_problem_and_its_check() -> None:
    reason = "The request was refused with 2 problems:\n- models[0]: got 'x'\n- max_concurrency: got 0"
    request = '{"models": ["it\'s"], "task_token": "secret"}'
    chain = explain(Evidence(snapshot_of(reason=reason, request_json=request)))
    assert chain_lines(chain, None)[1:3] == ["    - models[0]: got 'x'", "    - max_concurrency: got 0"]
    assert shlex.split(chain.next_command) == ["fleetscore", "run", "--check", "--input", '{"models": ["it\'s"]}']
    long = snapshot_of(reason=reason, request_json='{"models": ["' + "x" * 400 + '"]}')
    assert explain(Evidence(long)).next_command == "fleetscore run --check --input @request.json"


def test_a_failed_training_leads_to_its_execution() -> None:
    training = replace(
        snapshot_of(reason="churn: no labels", kind=ExecutionKind.TRAINING), execution_id="nightly-1-training"
    )
    chain = explain(Evidence(snapshot_of(training_execution_id="nightly-1-training"), training=training))
    assert texts(chain)[-1] == "training execution nightly-1-training: FAILED: churn: no labels"
    assert chain.next_command == "fleetscore why nightly-1-training"


def test_a_success_and_a_running_execution_need_no_chain() -> None:
    succeeded = explain(Evidence(snapshot_of(succeeded_job(), status="SUCCEEDED")))
    assert (succeeded.verdict, succeeded.steps) == ("Nothing is wrong: nightly-1 SUCCEEDED.", ())
    assert succeeded.next_command == "fleetscore status nightly-1"
    running = explain(Evidence(snapshot_of(running_job(), status="RUNNING")))
    assert running.verdict == "nightly-1 is RUNNING, and no job has failed so far."
    assert (running.steps, running.next_command) == ((), "fleetscore watch nightly-1")
    asked = explain(Evidence(snapshot_of(running_job(), status="RUNNING"), asked_job="churn", job=running_job()))
    assert asked.next_command == "fleetscore logs nightly-1 churn --follow"
    planning = explain(Evidence(Snapshot("nightly-1", NOW, WorkflowState("RUNNING", NOW), None)))
    assert planning.verdict == "nightly-1 is RUNNING. The execution is being planned."


def test_nothing_is_to_be_done_while_another_attempt_follows() -> None:
    job = running_job(status=JobStatus.WAITING, failure_kind=FailureKind.CAPACITY, reason="no instance was free")
    chain = explain(evidence_of(job, status="RUNNING"))
    assert (chain.remedy, chain.next_command) == ("", "fleetscore watch nightly-1")
    assert texts(chain)[0].startswith("job churn: WAITING (CAPACITY)")


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (FailureKind.MODEL, {"remedy": "Register it, then `fleetscore resume nightly-1`"},
         "fleetscore resume nightly-1"),
        (FailureKind.UNKNOWN, {}, "fleetscore logs nightly-1 churn"),
        (FailureKind.STOPPED, {"rule": "job left running"},
         "aws sagemaker stop-processing-job --processing-job-name dev-churn-0123456789abcdef-1"),
    ],
)  # fmt: skip
def test_the_next_command_follows_the_rule(kind: FailureKind, changes: dict[str, Any], expected: str) -> None:
    job = failed(kind=kind)
    assert explain(evidence_of(job, attempts=(attempt_of(job, **changes),))).next_command == expected


def test_a_failed_training_job_is_trained_again() -> None:
    job = replace(failed(kind=FailureKind.MODEL), kind=ExecutionKind.TRAINING)
    snapshot = snapshot_of(job, kind=ExecutionKind.TRAINING)
    chain = explain(Evidence(snapshot, job=job, attempts=(attempt_of(job),)))
    assert chain.next_command == "fleetscore train --models churn"
    assert "committed" not in texts(chain)[0]


@pytest.mark.parametrize("command", ["resume", "status", "watch", "logs", "why", "run", "train"])
def test_next_commands_exist(command: str) -> None:
    assert fleetscore.get_command(click.Context(fleetscore), command) is not None


@pytest.mark.parametrize("width", [None, 20, 80])
def test_a_chain_fits_its_terminal(width: int | None) -> None:
    chain = explain(evidence_of(failed(reason="x"), failed_object=replace(FAILED_OBJECT, detail="row 7: a\nb")))
    lines = chain_lines(chain, width)
    assert not any("\n" in line for line in lines)
    if width is None:
        assert len(lines) == len(chain.steps) + 2
    else:
        # A word is never cut.
        cut = [line for line in lines if not line.startswith("Next: ") and " " in line.strip()]
        assert all(len(line) <= max(width, 30) for line in cut)
    assert " ".join(" ".join(lines).split()).startswith("2026-03-01T12:00:25.000Z job churn: FAILED (DATA)")


def test_what_a_function_adds_to_the_services_text_is_shown_alone() -> None:
    added = "no object was committed in that time, so another attempt would fail again"
    sagemaker = SageMakerJob("dev-churn-1", "Stopped", END, "the job reached its time limit")
    attempt = attempt_of(
        failed(), rule="runtime limit", cause=f"runtime limit: the job reached its time limit; {added}"
    )
    chain = explain(evidence_of(failed(), attempts=(attempt,), sagemaker_job=sagemaker))
    assert texts(chain)[-2:] == [
        "SageMaker job dev-churn-1: Stopped: the job reached its time limit",
        f"reported: {added}",
    ]
    unchanged = attempt_of(failed(), rule="killed", cause="killed: the job reached its time limit")
    assert len(explain(evidence_of(failed(), attempts=(unchanged,), sagemaker_job=sagemaker)).steps) == 3


def test_an_execution_that_failed_without_a_failed_job_has_its_reason() -> None:
    snapshot = snapshot_of(
        succeeded_job(), status="PARTLY_FAILED", reason="Every job succeeded, but the execution did not"
    )
    chain = explain(Evidence(snapshot))
    assert texts(chain) == ["execution nightly-1: Every job succeeded, but the execution did not"]
    assert chain.next_command == "fleetscore status nightly-1"
