"""EventBridge events about executions that ended before their last states."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from contract.problems import InvalidInputError
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from lambdas.reconcile.events import ExecutionEnd, read_event
from lambdas.stage.messaging.execution_reader import EndedExecution
from tests.unit.lambdas.builders import STARTED_AT, Stage, execution_arn, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]

STOPPED_AT = datetime.fromisoformat(STARTED_AT) + timedelta(minutes=5)


def status_change(status: str, *, execution_id: str = "e-1", **detail: Any) -> dict[str, Any]:
    """Return EventBridge's event with the documented fields."""
    return {
        "version": "0",
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": execution_arn(execution_id),
            "name": execution_id,
            "status": status,
            "startDate": int(datetime.fromisoformat(STARTED_AT).timestamp() * 1_000),
            "stopDate": int(STOPPED_AT.timestamp() * 1_000),
            "input": "{}",
            "error": None,
            "cause": None,
            **detail,
        },
    }


def test_a_stopped_execution_closes_its_records(opened: Stage, reconcile: Step) -> None:
    reconcile(status_change("ABORTED", cause="wrong dataset"))
    job, attempt, record = opened.job(), opened.attempt(), opened.execution()
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    assert "The execution was stopped by hand before this job ended (wrong dataset)" in job.reason
    assert attempt.status is AttemptStatus.FAILED
    assert record.status is ExecutionStatus.FAILED
    assert "wrong dataset" in record.reason


def test_records_are_closed_for_input_that_python_cannot_parse(stage: Stage, reconcile: Step) -> None:
    """Python parses numbers of at most 4,300 digits, so every function fails to parse this input."""
    digits = "1" * 5_000
    reconcile(status_change("FAILED", input=digits, error="Runtime.UnmarshalError"))
    assert stage.execution().status is ExecutionStatus.FAILED
    assert json.loads(stage.execution().request_json) == digits


def test_a_late_end_event_changes_nothing(opened: Stage, verify: Step, summarize: Step, reconcile: Step) -> None:
    opened.commit()
    verify(pointer_event())
    summarize(summary_event({"execution_id": "e-1"}))
    before = opened.execution(), opened.job()
    reconcile(status_change("FAILED", error="Fleetscore.Failed"))
    assert (opened.execution(), opened.job()) == before


def test_an_execution_stopped_after_its_last_job_is_partly_failed(opened: Stage, verify: Step, reconcile: Step) -> None:
    opened.commit()
    verify(pointer_event())
    reconcile(status_change("ABORTED"))
    assert opened.job().status is JobStatus.SUCCEEDED
    assert opened.execution().status is ExecutionStatus.PARTLY_FAILED
    assert "Every job succeeded, but the execution itself did not" in opened.execution().reason
    assert "Nothing is missing" in opened.execution().reason


def test_an_execution_stopped_before_its_plan_gets_a_record(stage: Stage, reconcile: Step) -> None:
    reconcile(status_change("ABORTED", execution_id="e-2", input=None, cause="enough"))
    record = stage.execution("e-2")
    assert (record.status, record.started_at) == (ExecutionStatus.FAILED, STARTED_AT)
    assert record.reason.startswith(
        "Nothing was scored. The execution was stopped by hand: enough\nStart a new execution."
    )


def test_other_statuses_are_refused(stage: Stage, reconcile: Step) -> None:
    with pytest.raises(InvalidInputError, match=r"detail.status: got 'RUNNING', expected the end of an execution"):
        reconcile(status_change("RUNNING"))


def test_a_stopped_execution_whose_event_has_no_data_is_described(stage: Stage, reconcile: Step) -> None:
    """Step Functions leaves input, error and cause out of its events about encrypted executions."""
    client = boto3.client("stepfunctions")
    machine = client.create_state_machine(
        name="fleetscore-test",
        definition='{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 9, "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, name="e-3", input='{"models": ["a"]}')["executionArn"]
    client.stop_execution(executionArn=arn)

    reconcile(status_change("ABORTED", execution_id="e-3", executionArn=arn, input=None, cause=None))

    assert json.loads(stage.execution("e-3").request_json) == {"models": ["a"]}


@pytest.mark.parametrize(("seconds", "is_read"), [(-60, True), (60, False)], ids=["before the end", "after it"])
def test_an_end_is_ignored_only_if_the_execution_was_redriven_since(seconds: int, is_read: bool) -> None:
    described = EndedExecution("{}", "", "", redriven_at=STOPPED_AT + timedelta(seconds=seconds))
    end = read_event(status_change("ABORTED"), lambda _: described)
    assert isinstance(end, ExecutionEnd)
    assert (end.summary is not None) == is_read


def test_a_late_event_closes_no_record_of_a_redriven_execution(
    opened: Stage, reconcile: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = EndedExecution("{}", "", "", redriven_at=STOPPED_AT + timedelta(seconds=60))
    monkeypatch.setattr("lambdas.stage.messaging.execution_reader.ExecutionReader.read", lambda *_: described)
    reconcile(status_change("ABORTED"))
    assert (opened.execution().status, opened.job().status) == (ExecutionStatus.RUNNING, JobStatus.RUNNING)
