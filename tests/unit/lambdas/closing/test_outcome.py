"""The reason of a job that was still open when its execution ended."""

import json
from dataclasses import replace

from contract.status import FailureKind, JobStatus
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.closing.outcome import open_job_reason
from tests.unit.lambdas.failures.test_retry_decision import any_job

EXECUTION = ExecutionRecord(
    execution_id="night",
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:fleetscore-dev:night",
    status="RUNNING",
    started_at="2026-11-30T02:00:00.000Z",
    request_json="{}",
)


def noted(error: str, cause: str, *, why: tuple[str, str]) -> JobRecord:
    return replace(
        any_job(),
        status=JobStatus.RUNNING,
        unrecorded_failure=json.dumps({"Error": error, "Cause": cause}),
        classification_failure=json.dumps({"Error": why[0], "Cause": why[1]}),
    )


def test_a_failure_is_classified_although_the_function_that_classifies_failed() -> None:
    crashed = ("Sandbox.Timedout", '{"errorMessage": "Task timed out after 900.00 seconds"}')
    job = noted("States.TaskFailed", "InternalServerError: We encountered an internal error.", why=crashed)
    kind, reason = open_job_reason(EXECUTION, job, "", "")
    assert kind is FailureKind.TRANSIENT
    assert reason.startswith("States.TaskFailed: InternalServerError: We encountered an internal error. ")
    assert "`fleetscore resume" in reason
    assert "ClassifyFailure failed too (Sandbox.Timedout: Task timed out after 900.00 seconds)" in reason


def test_what_no_rule_knows_stays_unknown() -> None:
    kind, reason = open_job_reason(EXECUTION, noted("Odd.Error", "odd", why=("Lambda.Unknown", "")), "", "")
    assert kind is FailureKind.UNKNOWN
    assert reason.startswith("Odd.Error: odd. ")
