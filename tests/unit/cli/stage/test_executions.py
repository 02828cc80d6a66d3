import json
from dataclasses import replace
from typing import Any

import pytest

from cli.failures import CommandError, ExitStatus
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.stage.executions.executions import Executions, new_name
from contract import layout
from contract.problems import InvalidInputError
from contract.status import ExecutionStatus, FailureKind, JobStatus
from contract.table import records
from tests.unit.cli.builders import (
    NOW,
    any_attempt,
    any_execution,
    any_job,
    end_in_step_functions,
    running_job,
    succeeded_job,
)


@pytest.fixture
def executions(connection: Connection, deployment: Deployment) -> Executions:
    return Executions(connection, deployment)


@pytest.fixture
def table(connection: Connection, deployment: Deployment) -> Any:
    return connection.resource("dynamodb").Table(deployment.table_name)


def test_execution_starts_with_the_unchanged_request(executions: Executions, connection: Connection) -> None:
    execution_id = executions.start('{"max_concurrency": 3}', "nightly-1")
    assert execution_id == "nightly-1"
    answer = connection.client("stepfunctions").describe_execution(executionArn=executions.execution_arn("nightly-1"))
    assert json.loads(answer["input"]) == {"max_concurrency": 3}


def test_invalid_request_starts_nothing(executions: Executions, connection: Connection, deployment: Deployment) -> None:
    with pytest.raises(InvalidInputError) as refused:
        executions.start('{"modles": [], "max_concurrency": 0}')
    assert [problem.field for problem in refused.value.problems] == ["modles", "max_concurrency"]
    with pytest.raises(InvalidInputError, match="JSON text"):
        executions.start("{models}")
    with pytest.raises(InvalidInputError, match="name: got 'a b'"):
        executions.start("{}", "a b")
    client = connection.client("stepfunctions")
    assert client.list_executions(stateMachineArn=deployment.state_machine_arn)["executions"] == []


def test_taken_name_is_refused_with_a_remedy(executions: Executions) -> None:
    executions.start("{}", "nightly-1")
    with pytest.raises(CommandError, match="fleetscore status nightly-1"):
        executions.start('{"max_concurrency": 2}', "nightly-1")


def test_names_sort_by_time_and_differ() -> None:
    first, second = new_name(NOW), new_name(NOW)
    assert first.startswith("20260301T120030Z-")
    assert first != second


def test_unknown_execution_is_named(executions: Executions) -> None:
    with pytest.raises(CommandError, match="no execution 'nothing' in stage 'dev'"):
        executions.snapshot("nothing")


def test_snapshot_before_planning_says_so(executions: Executions) -> None:
    executions.start("{}", "nightly-1")
    snapshot = executions.snapshot("nightly-1")
    assert (snapshot.status, snapshot.ended, snapshot.note) == ("RUNNING", False, "The execution is being planned.")


def test_snapshot_has_records_and_committed_objects_of_running_jobs(
    executions: Executions, table: Any, connection: Connection
) -> None:
    executions.start("{}", "nightly-1")
    two_models = running_job("ads", model_ids=("ads", "ads-2"), model_versions=("1", "1"))
    jobs = (two_models, any_job("churn"), succeeded_job("offers"))
    table.put_item(Item=records.execution_item(any_execution()))
    for job in jobs:
        table.put_item(Item=records.job_item(job))
    for name in (layout.segment_name(2, b"1"), layout.segment_name(3, b"2"), ".7.jsonl.unfinished"):
        segment = layout.ledger_prefix("nightly-1", "ads") + name
        connection.client("s3").put_object(Bucket="some-results", Key=segment, Body=b"{}")
    snapshot = executions.snapshot(executions.execution_arn("nightly-1"))
    assert snapshot.record == any_execution()
    assert snapshot.jobs == jobs
    assert snapshot.committed == {"ads": 2}
    assert snapshot.status == "RUNNING"


def test_snapshot_of_an_ended_execution_has_committed_objects_of_failed_jobs(
    executions: Executions, table: Any, connection: Connection
) -> None:
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution()))
    table.put_item(Item=records.job_item(running_job("ads", status=JobStatus.FAILED)))
    segment = layout.ledger_prefix("nightly-1", "ads") + layout.segment_name(1, b"")
    connection.client("s3").put_object(Bucket="some-results", Key=segment, Body=b"{}")
    arn = executions.execution_arn("nightly-1")
    connection.client("stepfunctions").stop_execution(executionArn=arn)
    assert executions.snapshot("nightly-1").committed == {"ads": 1}


def test_commits_of_a_stopped_job_count_that_are_newer_than_its_record(
    executions: Executions, table: Any, connection: Connection
) -> None:
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution()))
    ended = running_job("ads", status=JobStatus.FAILED, commits=1)
    for job in (
        replace(ended, failure_kind=FailureKind.STOPPED),
        replace(ended, job_id="churn", failure_kind=FailureKind.DATA),
    ):
        table.put_item(Item=records.job_item(job))
        for content in (b"1", b"2"):
            segment = layout.ledger_prefix("nightly-1", job.job_id) + layout.segment_name(1, content)
            connection.client("s3").put_object(Bucket="some-results", Key=segment, Body=content)
    assert executions.snapshot("nightly-1").committed == {"ads": 2}


def test_jobs_without_a_count_are_counted_before_stopped_ones(
    executions: Executions, table: Any, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.stage.executions.executions._COUNTED_JOBS", 1)
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution()))
    stopped = running_job("ads", status=JobStatus.FAILED, commits=1, failure_kind=FailureKind.STOPPED)
    for job in (stopped, running_job("churn", status=JobStatus.FAILED)):
        table.put_item(Item=records.job_item(job))
        segment = layout.ledger_prefix("nightly-1", job.job_id) + layout.segment_name(1, b"")
        connection.client("s3").put_object(Bucket="some-results", Key=segment, Body=b"{}")
    assert executions.snapshot("nightly-1").committed == {"churn": 1}


def test_attempts_are_grouped_by_job_in_order(executions: Executions, table: Any) -> None:
    written = [any_attempt("ads", 1), any_attempt("ads", 2), any_attempt("churn", 1)]
    for attempt in reversed(written):
        table.put_item(Item=records.attempt_item(attempt))
    assert executions.attempts("nightly-1") == {"ads": written[:2], "churn": written[2:]}


def test_aborted_execution_is_not_reported_as_running(executions: Executions, table: Any) -> None:
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution()))
    table.put_item(Item=records.job_item(running_job()))
    end_in_step_functions("nightly-1", "ABORTED", "somebody pressed stop")
    snapshot = executions.snapshot("nightly-1")
    assert (snapshot.status, snapshot.ended, snapshot.exit_status) == ("ABORTED", True, ExitStatus.FAILED)
    assert (
        "ended (ABORTED, somebody pressed stop), but its records are not closed. Jobs that are shown as open (1)"
        in snapshot.note
    )


def workflow(status: str, **changes: Any) -> WorkflowState:
    return WorkflowState(status, NOW, stopped_at=None if status == "RUNNING" else NOW, **changes)


@pytest.mark.parametrize("kind", ["", "-training"])
def test_a_name_that_a_record_knows_is_taken_although_step_functions_has_forgotten_it(
    executions: Executions, table: Any, connection: Connection, deployment: Deployment, kind: str
) -> None:
    arn = f"{executions.execution_arn('x').rpartition(':')[0]}{kind}:nightly-1"
    kept = records.execution_item(
        any_execution(status=ExecutionStatus.SUCCEEDED, execution_arn=arn, kind="training" if kind else "scoring")
    )
    table.put_item(Item=kept)
    with pytest.raises(CommandError, match=r"nightly-1'.*SUCCEEDED: its records keep the name. Nothing was started."):
        executions.start("{}", "nightly-1")
    client = connection.client("stepfunctions")
    assert client.list_executions(stateMachineArn=deployment.state_machine_arn)["executions"] == []
    assert table.get_item(Key=records.execution_key("nightly-1"))["Item"] == kept


def test_the_running_execution_of_the_same_name_and_request_is_still_the_answer(
    executions: Executions, table: Any
) -> None:
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution(execution_arn=executions.execution_arn("nightly-1"))))
    assert executions.start(" {} ", "nightly-1") == "nightly-1"


def test_status_says_that_the_records_are_those_of_an_earlier_execution_of_the_name() -> None:
    record = any_execution(status=ExecutionStatus.SUCCEEDED, started_at="2020-01-01T00:00:00.000Z")
    snapshot = Snapshot("nightly-1", NOW, workflow("FAILED", error="Fleetscore.Failed"), record)
    assert "those of an earlier execution with this name, which started at 2020-01-01" in snapshot.note
    assert snapshot.exit_status is ExitStatus.FAILED


def test_execution_deleted_by_step_functions_is_read_from_its_record(executions: Executions, table: Any) -> None:
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.PARTLY_FAILED)))
    snapshot = executions.snapshot("nightly-1")
    assert (snapshot.workflow, snapshot.status, snapshot.ended) == (None, "PARTLY_FAILED", True)


@pytest.mark.parametrize(
    ("recorded", "workflow_status", "expected", "exit_status"),
    [
        (ExecutionStatus.SUCCEEDED, "SUCCEEDED", "SUCCEEDED", ExitStatus.SUCCEEDED),
        (ExecutionStatus.PARTLY_FAILED, "FAILED", "PARTLY_FAILED", ExitStatus.PARTLY_FAILED),
        (ExecutionStatus.FAILED, "FAILED", "FAILED", ExitStatus.FAILED),
        (ExecutionStatus.RUNNING, "TIMED_OUT", "TIMED_OUT", ExitStatus.FAILED),
        (ExecutionStatus.FAILED, "TIMED_OUT", "TIMED_OUT", ExitStatus.FAILED),
        (ExecutionStatus.PARTLY_FAILED, "ABORTED", "ABORTED", ExitStatus.FAILED),
        (ExecutionStatus.SUCCEEDED, "FAILED", "FAILED", ExitStatus.FAILED),
        (ExecutionStatus.RUNNING, "SUCCEEDED", "SUCCEEDED", ExitStatus.FAILED),
        (None, "FAILED", "FAILED", ExitStatus.FAILED),
    ],
)
def test_outcome_combines_record_and_step_functions(
    recorded: ExecutionStatus | None, workflow_status: str, expected: str, exit_status: ExitStatus
) -> None:
    record = any_execution(status=recorded) if recorded else None
    snapshot = Snapshot("nightly-1", NOW, workflow(workflow_status), record)
    assert (snapshot.status, snapshot.ended) == (expected, True)
    assert snapshot.exit_status is exit_status
    is_open = recorded in (None, ExecutionStatus.RUNNING)
    assert snapshot.closed is not is_open
    assert bool(snapshot.note) == (is_open or (recorded == "SUCCEEDED") != (workflow_status == "SUCCEEDED"))


def test_reason_comes_from_the_record_first() -> None:
    failed = workflow("FAILED", error="Fleetscore.Failed", cause="the cause")
    record = any_execution(status=ExecutionStatus.FAILED, reason="the request was refused")
    assert Snapshot("nightly-1", NOW, failed, record).reason == "the request was refused"
    assert Snapshot("nightly-1", NOW, failed, None).reason == "the cause"


def test_pending_jobs_have_no_committed_objects(executions: Executions, table: Any) -> None:
    executions.start("{}", "nightly-1")
    table.put_item(Item=records.execution_item(any_execution()))
    table.put_item(Item=records.job_item(any_job(status=JobStatus.PENDING)))
    assert executions.snapshot("nightly-1").committed == {}
