"""Read the events of Reconcile: ends of executions, status changes of jobs, and the schedule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contract.problems import InvalidInputError, Problem
from contract.status import SageMakerKind
from contract.table.records import record_time
from contract.workflow.messages import SummaryInput
from lambdas.closing.outcome import ABORT_ERRORS
from lambdas.reconcile.decisions import with_end
from lambdas.stage.messaging.execution_reader import EndedExecution

_STATES, _SAGEMAKER, _SCHEDULE = "aws.states", "aws.sagemaker", "aws.events"


@dataclass(frozen=True)
class JobChange:
    """A SageMaker job has changed its status."""

    kind: SageMakerKind
    name: str
    arn: str
    status: str


@dataclass(frozen=True)
class ExecutionEnd:
    """An execution has ended, as `summary` says. It is None if the execution was redriven since."""

    summary: SummaryInput | None


@dataclass(frozen=True)
class Sweep:
    """The schedule: look at everything."""


def read_event(event: Mapping[str, Any], read: Callable[[str], EndedExecution]) -> JobChange | ExecutionEnd | Sweep:
    """Return what an event of EventBridge announces. `read` returns an execution by ARN.

    Raises:
        InvalidInputError: when the event is none of them.
    """
    detail = event.get("detail")
    source = event.get("source")
    if source == _SCHEDULE:
        return Sweep()
    if source == _STATES and isinstance(detail, Mapping):
        return ExecutionEnd(_read_end(detail, read))
    if source == _SAGEMAKER and isinstance(detail, Mapping):
        for kind in SageMakerKind:
            fields = [detail.get(f"{kind.value}Job{field}") for field in ("Name", "Arn", "Status")]
            if all(isinstance(value, str) for value in fields):
                return JobChange(kind, *map(str, fields))
    expected = f"an event of {_STATES}, {_SAGEMAKER} or a schedule"
    raise InvalidInputError("event", [Problem("source", source, expected, "Check the rules' patterns.")])


def _read_end(detail: Mapping[str, Any], read: Callable[[str], EndedExecution]) -> SummaryInput | None:
    """Return the end of an execution; None if the execution was redriven after it.

    Then records must not be closed while it runs again, and its next end has an event of its own. The
    event has no input when the input is large, and neither input, error nor cause when the state
    machine is encrypted with a key of the account.
    """
    status = detail.get("status")
    if status not in ABORT_ERRORS:
        expected = "the end of an execution: " + ", ".join(ABORT_ERRORS)
        raise InvalidInputError("event", [Problem("detail.status", status, expected, "Check the rule's pattern.")])
    described = read(detail["executionArn"])
    # Its status may be out of date, since reads are eventually consistent.
    if described.redriven_at is not None and described.redriven_at >= _time(detail["stopDate"]):
        return None
    error, cause = detail.get("error") or described.error, detail.get("cause") or described.cause
    started_at, request_json = record_time(_time(detail["startDate"])), detail.get("input") or described.request_json
    ended = SummaryInput(detail["name"], detail["executionArn"], started_at, request_json)
    return with_end(ended, status, ": ".join(text for text in (error, cause) if text))


def _time(epoch_milliseconds: int) -> datetime:
    return datetime.fromtimestamp(epoch_milliseconds / 1_000, UTC)
