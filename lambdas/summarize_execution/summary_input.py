"""Reading what SummarizeExecution is called with: the workflow's own message, or news of an
execution's end."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contract.codec import from_json
from contract.problems import InvalidInputError, Problem
from contract.table.records import record_time
from contract.workflow.messages import FAILURE_FIELD, REQUEST_FIELD, SummaryInput

BROKEN_OFF_ERRORS = {
    "ABORTED": "Fleetscore.ExecutionStopped",
    "TIMED_OUT": "Fleetscore.ExecutionTimedOut",
    "FAILED": "Fleetscore.ExecutionBrokenOff",
}
"""How an execution ended that did not come to its last states, by its status in Step Functions."""

_EVENT_SOURCE = "aws.states"


def read_event(event: Mapping[str, Any]) -> SummaryInput:
    """The workflow's message, or the same out of EventBridge's "Step Functions Execution Status
    Change".

    Raises:
        InvalidInputError: when it is neither.
    """
    if event.get("source") != _EVENT_SOURCE:
        return from_json(SummaryInput, event)
    detail = event.get("detail")
    status = detail.get("status") if isinstance(detail, Mapping) else None
    if not isinstance(detail, Mapping) or status not in BROKEN_OFF_ERRORS:
        expected = "the end of an execution: " + ", ".join(BROKEN_OFF_ERRORS)
        raise InvalidInputError("event", [Problem("detail.status", status, expected, "Check the rule's pattern.")])
    cause = ": ".join(str(detail[name]) for name in ("error", "cause") if detail.get(name))
    failure = {"Error": BROKEN_OFF_ERRORS[status], "Cause": cause}
    started_at = datetime.fromtimestamp(detail["startDate"] / 1_000, UTC)  # epoch milliseconds
    # A large input is left out of the event.
    request = _request(detail["input"]) if detail.get("input") else None
    return SummaryInput(
        execution_id=detail["name"],
        execution_arn=detail["executionArn"],
        started_at=record_time(started_at),
        state={REQUEST_FIELD: request, FAILURE_FIELD: failure},
    )


def _request(text: str) -> Any:
    """The input, or its text when Python cannot read it: no input may keep an execution's records
    open."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
