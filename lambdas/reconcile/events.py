"""Read the events of Reconcile: ends of executions, status changes of jobs, and the schedule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contract import layout
from contract.problems import InvalidInputError, Problem
from contract.status import SageMakerKind
from contract.table.records import record_time
from contract.workflow.messages import SummaryInput
from lambdas.closing.outcome import ABORT_ERRORS
from lambdas.reconcile.decisions import JobOwner, with_end
from lambdas.stage.messaging.execution_reader import EndedExecution

_STATES, _SAGEMAKER, _SCHEDULE = "aws.states", "aws.sagemaker", "aws.events"


@dataclass(frozen=True)
class JobChange:
    """A SageMaker job has changed its status."""

    kind: SageMakerKind
    name: str
    arn: str
    status: str
    named_owner: JobOwner | None = None
    """The job whose files its inputs name. Only a hint: anybody may create a job with such inputs."""


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
            name, arn, status = (detail.get(f"{kind.value}Job{field}") for field in ("Name", "Arn", "Status"))
            if isinstance(name, str) and isinstance(arn, str) and isinstance(status, str):
                return JobChange(kind, name, arn, status, _named_owner(detail))
    expected = f"an event of {_STATES}, {_SAGEMAKER} or a schedule"
    raise InvalidInputError("event", [Problem("source", source, expected, "Check the rules' patterns.")])


def _named_owner(detail: Mapping[str, Any]) -> JobOwner | None:
    """Return the first job of an execution that an input's S3 URI names; None if the event shows none."""
    channels = [
        (detail.get("ProcessingInputs"), ("S3Input", "S3Uri")),
        (detail.get("InputDataConfig"), ("DataSource", "S3DataSource", "S3Uri")),
    ]
    for entries, path in channels:
        for entry in entries if isinstance(entries, list) else ():
            uri = _field(entry, *path)
            key = uri.removeprefix("s3://").partition("/")[2] if isinstance(uri, str) else ""
            if found := layout.job_of_key(key):
                return JobOwner(*found)
    return None


def _field(value: Any, *path: str) -> Any:
    """Return a nested field; None if it or a field on the way to it is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


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
