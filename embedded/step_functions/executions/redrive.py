"""RedriveExecution: its preconditions, and the changes in records."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.step_functions.executions import running
from embedded.step_functions.executions.resume_point import ResumePoint

PERIOD = timedelta(days=14)
"""Time after the end of an execution in which it can be redriven, as on AWS."""
HISTORY_LIMIT_EVENTS = 24_999
"""Number of history events at which an execution cannot be redriven any more, as on AWS."""
_REMEMBERED_TOKENS = 10
_END_SECONDS = 10.0
"""Longest wait for the threads of an execution that was just stopped."""


@dataclass(frozen=True)
class EndedRun:
    """The definition of an unsuccessful run, and the point at which it ended."""

    machine: dict[str, Any]
    resume_point: ResumePoint | None


_lock = threading.Lock()
_ended: dict[str, EndedRun] = {}


def remember(execution_arn: str, run: EndedRun | None) -> None:
    """Store how an execution ended; None deletes the entry, because it succeeded."""
    with _lock:
        if run is None:
            _ended.pop(execution_arn, None)
        else:
            _ended[execution_arn] = run


def ended_run(execution_arn: str) -> EndedRun | None:
    """Return how an execution ended, after its threads have ended."""
    execution = running.find(execution_arn)
    if execution is not None:
        execution.done.wait(_END_SECONDS)
    with _lock:
        return _ended.get(execution_arn)


def described(record: workflows.Record) -> dict[str, Any]:
    """Return the fields of DescribeExecution about redrives."""
    status, reason = _status(record)
    fields = {"redriveCount": record.get("redriveCount", 0), "redriveStatus": status}
    if reason:
        fields["redriveStatusReason"] = reason
    if "redriveDate" in record:
        fields["redriveDate"] = record["redriveDate"]
    return fields


def refusal(record: workflows.Record) -> tuple[str, str] | None:
    """Return error code and message if the execution cannot be redriven."""
    status, reason = _status(record)
    if status == "REDRIVABLE" and ended_run(record["executionArn"]) is None:
        reason = "The embedded AWS was restarted since and does not know where the execution stopped: start a new one"
    if status == "REDRIVABLE_BY_MAP_RUN":
        reason = "The execution is a child of a Map Run: redrive the execution that started the Map Run"
    return ("ExecutionNotRedrivable", reason) if reason else None


def reopen(record: workflows.Record) -> int:
    """Let an ended execution run again, and return the id of its event ExecutionRedriven."""
    with workflows.EVENT_LOCK:
        record.update(
            status="RUNNING", stopDate=None, output=None, error=None, cause=None,
            redriveCount=record.get("redriveCount", 0) + 1, redriveDate=workflows.timestamp(),
        )  # fmt: skip
        details = {"executionRedrivenEventDetails": {"redriveCount": record["redriveCount"]}}
        return workflows.add_event(record, "ExecutionRedriven", details, len(record["events"]))


def answered(record: workflows.Record, token: str) -> str | None:
    """Return the date of the redrive that an earlier request with the same token began."""
    date = record.get("_redriveTokens", {}).get(token) if token else None
    return None if date is None else str(date)


def remember_token(record: workflows.Record, token: str) -> None:
    tokens = {**record.get("_redriveTokens", {}), token: record["redriveDate"]}
    record["_redriveTokens"] = dict(list(tokens.items())[-_REMEMBERED_TOKENS:])


def context_fields(record: workflows.Record) -> dict[str, Any]:
    """Return the fields of `$$.Execution` about redrives."""
    times = {"RedriveTime": record["redriveDate"]} if "redriveDate" in record else {}
    return {"RedriveCount": record.get("redriveCount", 0), **times}


def _status(record: workflows.Record) -> tuple[str, str]:
    """Return the redrive status, and AWS's reason if it is NOT_REDRIVABLE."""
    if record["status"] in ("RUNNING", "SUCCEEDED", "PENDING_REDRIVE"):
        return "NOT_REDRIVABLE", f"Execution is {record['status']} and cannot be redriven"
    if len(record["events"]) >= HISTORY_LIMIT_EVENTS:
        return "NOT_REDRIVABLE", "Execution history event limit exceeded"
    if datetime.now(UTC) - datetime.fromisoformat(record["stopDate"]) > PERIOD:
        return "NOT_REDRIVABLE", "Execution redrivable period exceeded"
    return ("REDRIVABLE_BY_MAP_RUN" if "mapRunArn" in record else "REDRIVABLE"), ""
