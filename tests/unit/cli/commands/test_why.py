"""`fleetscore why` shows each reason once."""

import json

import pytest

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.executions.executions import heading_lines
from contract.status import ExecutionStatus, FailureKind, JobStatus
from contract.table import records
from tests.unit.cli.builders import NOW, any_execution, any_job, succeeded_job

Captured = pytest.CaptureFixture[str]
REASON = "no rows in a.parquet"


def shown_by_why(account: Connection, deployment: Deployment, failed_jobs: int, capsys: Captured) -> str:
    table = account.resource("dynamodb").Table(deployment.table_name)
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.PARTLY_FAILED)))
    table.put_item(Item=records.job_item(succeeded_job("upsell")))
    for number in range(failed_jobs):
        job = any_job(
            f"churn-{number}",
            status=JobStatus.FAILED,
            failure_kind=FailureKind.DATA,
            reason=REASON,
            ended_at="2026-03-01T12:00:25Z",
        )
        table.put_item(Item=records.job_item(job))
    assert main(["why", "nightly-1"]) == 0
    return capsys.readouterr().out


def test_the_reason_of_the_only_failed_job_is_in_the_chain_alone(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    assert shown_by_why(account, deployment, 1, capsys).count(REASON) == 1


def test_the_failures_of_several_jobs_are_listed_before_the_chain_of_the_first(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    assert f"2 jobs (churn-0, churn-1): DATA: {REASON}" in shown_by_why(account, deployment, 2, capsys)


def test_each_distinct_cause_is_explained_with_its_own_next_command(
    account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    table = account.resource("dynamodb").Table(deployment.table_name)
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.FAILED)))
    failures = {
        "churn-0": (FailureKind.DATA, REASON),
        "churn-1": (FailureKind.DATA, REASON),
        "upsell": (FailureKind.MODEL, "the model has no column 'age'"),
    }
    for job_id, (kind, reason) in failures.items():
        job = any_job(
            job_id, status=JobStatus.FAILED, failure_kind=kind, reason=reason, ended_at="2026-03-01T12:00:25Z"
        )
        table.put_item(Item=records.job_item(job))
    assert main(["why", "nightly-1"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "Cause 1 of 2: 2 jobs (churn-0, churn-1)"
    second = shown.index("Cause 2 of 2: upsell")
    assert any(REASON in line for line in shown[1:second])
    assert any("the model has no column 'age'" in line for line in shown[second:])
    # All causes have the same next command, so it is shown once.
    assert [line for line in shown if line.startswith("Next: ")] == ["Next: fleetscore resume nightly-1"]
    assert shown[-1].startswith("Next: ")
    assert main(["why", "nightly-1", "--json"]) == 0
    causes = json.loads(capsys.readouterr().out)["causes"]
    assert [(cause["example_job"], cause["jobs"]) for cause in causes] == [
        ("churn-0", ["churn-0", "churn-1"]),
        ("upsell", ["upsell"]),
    ]


def test_status_does_not_refer_to_itself() -> None:
    reason = "Nothing was scored.\nStart a new execution.\nSee `fleetscore status nightly-1`."
    record = any_execution(status=ExecutionStatus.FAILED, reason=reason)
    assert heading_lines(Snapshot("nightly-1", NOW, None, record))[-1] == (
        "Reason: Nothing was scored.\nStart a new execution."
    )
