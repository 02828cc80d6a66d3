"""Texts of models, data and requests neither break the functions nor reach people with control characters."""

import json
from typing import Any

import pytest

from contract import layout
from contract.json_text import parse_json
from contract.status import ExecutionStatus, FailureKind, JobStatus
from contract.table import events, records
from contract.table.records import ExecutionRecord, JobRecord
from contract.table.request_text import request_text
from lambdas.attempts.failure_cause import read_cause
from lambdas.errors import InvalidRequestError
from lambdas.stage.messaging.event_bus import Event
from lambdas.stage.observability import logger
from tests.unit.hostile_text import HOSTILE, is_printable, with_visible_surrogates
from tests.unit.lambdas.builders import (
    Stage,
    any_execution,
    any_job,
    failure_event,
    plan_event,
    summary_event,
)
from tests.unit.lambdas.conftest import Step

WORST = HOSTILE + "\ud800"
CAUSES = [
    WORST,
    json.dumps({"errorMessage": WORST}),
    json.dumps({"ProcessingJobStatus": "Failed", "ExitMessage": f"DATA: {WORST}"}),
    json.dumps({"ProcessingJobStatus": "Failed", "FailureReason": WORST}),
    json.dumps({"TrainingJobStatus": "Failed", "FailureReason": WORST}),
    json.dumps({"ExecutionArn": "arn", "Status": "FAILED", "Error": WORST, "Cause": WORST}),
]


@pytest.mark.parametrize("cause", CAUSES, ids=range(len(CAUSES)))
def test_causes_are_printable(cause: str) -> None:
    found = read_cause(cause)
    for text in (found.message, found.exit_message, found.failure_reason):
        assert is_printable(text)
    assert "\\x1b]52" in found.message


@pytest.mark.parametrize("cause", CAUSES, ids=range(len(CAUSES)))
def test_reasons_of_failed_attempts_are_printable_everywhere(
    opened: Stage, classify: Step, summarize: Step, cause: str
) -> None:
    for attempt in (1, 2, 3):
        decision = classify(failure_event("SageMaker.ResourceInUse" + HOSTILE, cause, attempt=attempt))
        assert is_printable(decision["reason"])
        if not decision["try_again"]:
            break
    job = opened.job()
    assert "\\x1b]52" in job.reason
    outcome = summarize(summary_event({"failure": {"Error": HOSTILE, "Cause": cause}}))
    summary = opened.s3.get_object(Bucket=opened.results, Key=layout.summary_key("e-1"))["Body"].read().decode()
    for text in (job.reason, opened.execution().reason, outcome["cause"], summary):
        assert is_printable(text)


def test_records_of_earlier_releases_give_printable_events() -> None:
    job_item = {**records.job_item(any_job(status=JobStatus.FAILED)), "reason": WORST, "outcome": WORST}
    job = records.read_item(JobRecord, {**job_item, "notes": [WORST]})
    execution_item = {**records.execution_item(any_execution(status=ExecutionStatus.FAILED)), "reason": WORST}
    execution = records.read_item(ExecutionRecord, {**execution_item, "training_failure": WORST})
    for change in (events.job_event("dev", job, None), events.execution_event("dev", execution, None)):
        assert change is not None
        assert "\\x1b]52" in change.reason
        assert is_printable(change.reason)
    assert is_printable(job.notes[0] + job.outcome + execution.training_failure)
    # As an input transformer of EventBridge or a subscriber of SNS sees it.
    detail = Event.from_json("fleetscore", "any", {"text": WORST}).detail
    assert is_printable(detail)
    assert parse_json(detail) == {"text": with_visible_surrogates(WORST)}


REQUESTS: list[Any] = [
    {"execution_label": WORST},
    {"models": [WORST]},
    {"models": {"tags": {WORST: WORST}}},
    {"dataset": WORST},
    {WORST: WORST},
    WORST,
    [WORST],
]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_hostile_requests_are_refused_recorded_and_summarized(
    stage: Stage, plan: Step, summarize: Step, request_: Any
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event(request_))
    assert is_printable(str(refusal.value))
    cause = json.dumps({"errorMessage": str(refusal.value)})
    outcome = summarize(
        summary_event({"request": request_, "failure": {"Error": "InvalidRequestError", "Cause": cause}})
    )
    assert outcome["status"] == "FAILED"
    record = stage.execution()
    assert parse_json(record.request_json) == with_visible_surrogates(request_)
    assert is_printable(record.request_json + record.reason + outcome["cause"])
    summary = stage.s3.get_object(Bucket=stage.results, Key=layout.summary_key("e-1"))["Body"].read().decode()
    assert is_printable(summary)
    assert parse_json(summary)["request"] == with_visible_surrogates(request_)


@pytest.mark.parametrize("value", [[1e15] * 50_000, ["\x85" * 120_000]], ids=["numbers", "escapes"])
def test_requests_that_are_too_long_for_a_record_are_recorded_without_their_fields(
    stage: Stage, plan: Step, summarize: Step, value: list[Any]
) -> None:
    request = {"models": value, "task_token": "waiting"}
    with pytest.raises(InvalidRequestError, match=r"models\[0\]: got "):
        plan(plan_event(request))
    outcome = summarize(summary_event({"request": request, "failure": {"Error": "InvalidRequestError", "Cause": ""}}))
    assert outcome["status"] == "FAILED"
    recorded = json.loads(stage.execution().request_json)
    assert recorded.keys() == {"left_out", "task_token"}
    assert "too many for the record" in recorded["left_out"]


def test_the_longest_request_that_a_person_could_write_is_recorded_whole() -> None:
    request = {"models": [f"{number:04x}" for number in range(36_000)]}
    assert len(json.dumps(request, separators=(",", ":"))) < 262_144
    assert json.loads(request_text(request)) == request


@pytest.mark.parametrize("name", [".", ".."])
def test_names_of_folders_are_refused_as_execution_names(stage: Stage, plan: Step, summarize: Step, name: str) -> None:
    stage.register()
    stage.upload()
    with pytest.raises(InvalidRequestError, match=r"execution name: got '\.+', expected .* but not '\.' or '\.\.'"):
        plan(plan_event({}, execution_id=name))
    outcome = summarize(summary_event({"request": {}}, execution_id=name))
    assert (outcome["status"], outcome["summary_uri"]) == ("FAILED", "")
    assert f"execution name: got {name!r}" in outcome["cause"]
    assert "Contents" not in stage.s3.list_objects_v2(Bucket=stage.results)


def test_log_lines_are_printable_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = logger.registered_formatter.serialize({"message": WORST, "kind": FailureKind.DATA})
    assert is_printable(line)
    assert parse_json(line)["message"] == with_visible_surrogates(WORST)
