import itertools
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBStreamEvent
from boto3.dynamodb.types import TypeSerializer

from contract.catalog.models import Compute
from contract.deadlines.lateness import Lateness
from contract.job.parts import JobPart
from contract.problems import InvalidInputError
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from contract.table import events, records
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from lambdas.announce_status.announce import announce_status
from lambdas.errors import EventsRefusedError
from lambdas.stage.messaging.event_bus import MAX_BYTES, MAX_ENTRIES, Event, EventBus, batches

EXECUTION = ExecutionRecord(
    "e-1", "arn:e-1", ExecutionStatus.RUNNING, "2026-03-01T00:00:00.000Z", "{}", label="nightly"
)
JOB = JobRecord(
    "e-1", "churn", JobStatus.PENDING, "customers", ("churn",), ("1",), 4, 4_000, Compute("ml.m5.large", 1, 30, 60), 3,
    created_at="2026-03-01T00:00:01.000Z",
)  # fmt: skip


class EventBridge:
    """A fake EventBridge client that refuses details that contain `refuse`."""

    def __init__(self, refuse: str = "") -> None:
        self.events: list[dict[str, Any]] = []
        self.calls = 0
        self.refuse = refuse

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert len(Entries) <= 10
        self.calls += 1
        results = []
        for entry in Entries:
            assert (entry["EventBusName"], entry["Source"]) == ("fleetscore-dev", "fleetscore")
            detail = json.loads(entry["Detail"])
            if self.refuse and self.refuse in entry["Detail"]:
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"})
                continue
            self.events.append({"type": entry["DetailType"], **detail})
            results.append({"EventId": "1"})
        return {"FailedEntryCount": 0, "Entries": results}


def dynamodb_json(item: dict[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def stream_record(item: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {"NewImage": dynamodb_json(item), **({"OldImage": dynamodb_json(before)} if before else {})}
    return {"eventName": "MODIFY" if before else "INSERT", "dynamodb": images}


def announce(*changes: dict[str, Any], bridge: EventBridge | None = None) -> list[dict[str, Any]]:
    target = bridge or EventBridge()
    records = DynamoDBStreamEvent({"Records": list(changes)}).records
    announce_status(records, EventBus(target, "fleetscore-dev"), "dev")
    return target.events


def test_start_and_end_of_an_execution_are_announced() -> None:
    ended = replace(EXECUTION, status=ExecutionStatus.FAILED, reason="why", summary_uri="s3://x", jobs_failed=1)
    begun, end = announce(
        stream_record(records.execution_item(EXECUTION, 1)),
        stream_record(records.execution_item(ended, 1), records.execution_item(EXECUTION, 1)),
    )
    assert begun["type"] == events.EXECUTION_DETAIL_TYPE
    assert (begun["status"], begun["previous_status"], begun["sequence"]) == ("RUNNING", None, 0)
    assert (end["status"], end["previous_status"], end["sequence"]) == ("FAILED", "RUNNING", 1)
    assert (end["reason"], end["label"], end["jobs_failed"]) == ("why", "nightly", 1)


def test_each_worse_prediction_about_a_deadline_is_announced() -> None:
    due = replace(EXECUTION, deadline_at="2026-03-01T06:00:00.000Z")
    likely = replace(due, lateness=Lateness.LIKELY, expected_end_at="2026-03-01T06:30:00.000Z")
    certain = replace(likely, lateness=Lateness.CERTAIN)
    states = [records.execution_item(record, 1) for record in (due, likely, certain, likely)]
    changes = [stream_record(after, before) for before, after in itertools.pairwise(states)]
    first, second = announce(*changes)
    assert {first["type"], second["type"]} == {events.DEADLINE_DETAIL_TYPE}
    assert [(event["lateness"], event["sequence"]) for event in (first, second)] == [("LIKELY", 0), ("CERTAIN", 1)]
    assert (first["deadline_at"], first["expected_end_at"]) == (due.deadline_at, likely.expected_end_at)
    assert first["event_id"] != second["event_id"]


def test_changes_other_than_status_are_not_announced() -> None:
    with_summary = replace(EXECUTION, summary_uri="s3://x")
    attempt = AttemptRecord("e-1", "churn", 1, AttemptStatus.RUNNING, "p", 4, "ml.m5.large", 1, "2026-03-01T00:00:02Z")
    assert (
        announce(
            stream_record(records.execution_item(with_summary, 1), records.execution_item(EXECUTION, 1)),
            stream_record(records.attempt_item(attempt, 1)),
            {"eventName": "REMOVE", "dynamodb": {"OldImage": dynamodb_json(records.execution_item(EXECUTION, 1))}},
        )
        == []
    )


def test_a_change_of_a_part_names_the_job_and_the_part() -> None:
    parts = [JobPart("churn", number, 3) for number in (1, 2)]
    jobs = [replace(JOB, job_id=part.id, part=part) for part in parts]
    first, second = announce(*[stream_record(records.job_item(job, 1)) for job in jobs])
    assert [(event["job_id"], event["part"], event["parts"]) for event in (first, second)] == [
        ("churn", 1, 3), ("churn", 2, 3),
    ]  # fmt: skip
    assert first["event_id"] != second["event_id"]


def test_each_status_of_a_job_is_announced_with_increasing_sequence() -> None:
    jobs = [
        JOB,
        replace(JOB, status=JobStatus.RUNNING, attempt=1),
        replace(JOB, status=JobStatus.WAITING, attempt=1, failure_kind=FailureKind.CAPACITY, reason="none left"),
        replace(JOB, status=JobStatus.WAITING, attempt=2),
        replace(JOB, status=JobStatus.RUNNING, attempt=3),
        replace(JOB, status=JobStatus.SUCCEEDED, attempt=3, rows_in=10, rows_scored=9, rows_quarantined=1),
    ]
    items = [records.job_item(job, 1) for job in jobs]
    found = announce(stream_record(items[0]), *[stream_record(new, old) for old, new in pairwise(items)])
    assert [event["status"] for event in found] == [job.status for job in jobs]
    sequences = [event["sequence"] for event in found]
    assert sequences == sorted(set(sequences))
    assert len({event["event_id"] for event in found}) == len(jobs)
    assert (found[2]["failure_kind"], found[2]["reason"]) == ("CAPACITY", "none left")
    assert (found[-1]["rows_scored"], found[-1]["rows_quarantined"]) == (9, 1)


def test_a_duplicate_record_is_announced_with_the_same_event_id() -> None:
    change = stream_record(records.job_item(JOB, 1))
    first, second = announce(change, change)
    assert first == second


def test_executions_with_the_same_name_have_different_event_ids() -> None:
    later = replace(EXECUTION, started_at="2026-09-01T00:00:00.000Z")
    first, second = announce(
        stream_record(records.execution_item(EXECUTION, 1)), stream_record(records.execution_item(later, 1))
    )
    assert first["event_id"] != second["event_id"]


def test_refused_events_raise_so_that_the_stream_redelivers() -> None:
    bridge = EventBridge(refuse='"churn"')
    with pytest.raises(EventsRefusedError, match="ThrottlingException"):
        announce(stream_record(records.job_item(JOB, 1)), bridge=bridge)


def test_a_record_of_another_release_raises() -> None:
    item = {**records.job_item(JOB, 1), "schema_version": 99}
    with pytest.raises(InvalidInputError, match="schema_version"):
        announce(stream_record(item))


def test_batches_stay_within_the_limits_of_putevents() -> None:
    small = [Event("fleetscore", "a", "x")] * 25
    assert [len(batch) for batch in batches(small)] == [MAX_ENTRIES, MAX_ENTRIES, 5]
    mixed = [Event("fleetscore", detail_type, "x") for detail_type in "aabba"]
    assert ["".join(event.detail_type for event in batch) for batch in batches(mixed)] == ["aa", "bb", "a"]
    large = [Event("fleetscore", "a", "é" * (MAX_BYTES // 4))] * 5
    assert [len(batch) for batch in batches(large)] == [2, 2, 1]


def test_long_reasons_are_shortened() -> None:
    (event,) = announce(stream_record(records.job_item(replace(JOB, reason="x" * 100_000), 1)))
    assert len(event["reason"]) == 4_000
