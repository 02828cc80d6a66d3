"""Read the event of SummarizeExecution: the workflow's message, or EventBridge's status change."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.data_classes.event_bridge_event import EventBridgeEvent

from contract.codec import from_json
from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError, Problem
from contract.table.records import record_time
from contract.workflow.messages import FAILURE_FIELD, REQUEST_FIELD, SummaryInput
from lambdas.closing.outcome import ABORT_ERRORS
from lambdas.stage.messaging.execution_reader import EndedExecution

_EVENT_SOURCE = "aws.states"


def read_summary_input(event: dict[str, Any], read: Callable[[str], EndedExecution]) -> SummaryInput | None:
    """Return the workflow's message, or one made from EventBridge's "Step Functions Execution
    Status Change".

    Returns None if the execution was redriven after the end that the event announces: records must
    not be closed while it runs again, and its next end has an event of its own.

    `read` returns an execution by ARN. The event has no input when the input is large, and neither
    input, error nor cause when the state machine is encrypted with a key of the account.

    Raises:
        InvalidInputError: when the event is neither of them.
    """
    if event.get("source") != _EVENT_SOURCE:
        return from_json(SummaryInput, event)
    return _read_status_change(EventBridgeEvent(event), read)


def _read_status_change(event: EventBridgeEvent, read: Callable[[str], EndedExecution]) -> SummaryInput | None:
    detail = event.get("detail")
    status = detail.get("status") if isinstance(detail, Mapping) else None
    if not isinstance(detail, Mapping) or status not in ABORT_ERRORS:
        expected = "the end of an execution: " + ", ".join(ABORT_ERRORS)
        raise InvalidInputError("event", [Problem("detail.status", status, expected, "Check the rule's pattern.")])
    described = read(detail["executionArn"])
    # Its status may be out of date, since reads are eventually consistent.
    if described.redriven_at is not None and described.redriven_at >= _time(detail["stopDate"]):
        return None
    request_json = detail.get("input") or described.request_json
    error, cause = detail.get("error") or described.error, detail.get("cause") or described.cause
    cause = ": ".join(text for text in (error, cause) if text)
    failure = {"Error": ABORT_ERRORS[status], "Cause": cause}
    request = _request(request_json) if request_json else None
    return SummaryInput(
        execution_id=detail["name"],
        execution_arn=detail["executionArn"],
        started_at=record_time(_time(detail["startDate"])),
        state={REQUEST_FIELD: request, FAILURE_FIELD: failure},
    )


def _time(epoch_milliseconds: int) -> datetime:
    return datetime.fromtimestamp(epoch_milliseconds / 1_000, UTC)


def _request(text: str) -> Any:
    """Return the parsed input, or its text when Python cannot parse it: records must be closed in
    any case.
    """
    try:
        return parse_json(text, keep_surrogates=True)
    except JsonError:
        return text
