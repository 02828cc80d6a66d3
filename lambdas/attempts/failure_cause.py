"""Parse the Cause of a caught failure: plain text, or the JSON of a function, job or execution."""

import re
from dataclasses import dataclass
from typing import Any

from contract.control_characters import replace_control_characters
from contract.json_text import JsonError, parse_json
from contract.status import FailureKind

_STOPPED = f"{FailureKind.STOPPED.value}:"
_NEXT_MESSAGE = re.compile(rf"(?<![A-Z_])(?=(?:{'|'.join(kind.value for kind in FailureKind)}):)")
"""Place where the message of an instance begins, which is that of its failure kind."""


@dataclass(frozen=True)
class Cause:
    """The parts of a Cause. A missing part is empty."""

    message: str = ""
    """The text to show to the operator."""
    status: str = ""
    """ProcessingJobStatus or TrainingJobStatus, when a SageMaker job did not succeed."""
    exit_message: str = ""
    """The messages of the job's containers, without those that were stopped because another one failed."""
    failure_reason: str = ""
    ran_out_of_time: bool = False
    """Whether the job reached its MaxRuntimeInSeconds."""
    waited_too_long: bool = False
    """Whether a spot training job reached its MaxWaitTimeInSeconds, which includes waits for
    capacity.
    """


def read_cause(cause: str) -> Cause:
    """Parse a Cause: the describe result of a job or an execution, the error of a function, or
    plain text. Its texts are safe to print.
    """
    plain = Cause(message=replace_control_characters(cause.strip()))
    try:
        data = parse_json(cause, keep_surrogates=True)
    except JsonError:
        return plain
    if not isinstance(data, dict):
        return plain
    if "ProcessingJobStatus" in data:
        return _read_processing_job(data)
    if "TrainingJobStatus" in data:
        return _read_training_job(data)
    if "ExecutionArn" in data and "Status" in data:
        text = ": ".join(part for part in (_text(data, "Error"), _text(data, "Cause")) if part)
        return Cause(message=text or f"the execution ended as {_text(data, 'Status')}")
    return Cause(message=_text(data, "errorMessage")) if "errorMessage" in data else plain


def read_description(cause: str) -> Any:
    """Return SageMaker's description of the job that failed; None if the Cause is something else."""
    try:
        return parse_json(cause, keep_surrogates=True)
    except JsonError:
        return None


def _read_processing_job(data: dict[str, Any]) -> Cause:
    exit_message, failure_reason = _explaining(_text(data, "ExitMessage")), _text(data, "FailureReason")
    status = _text(data, "ProcessingJobStatus")
    return Cause(
        message=exit_message or failure_reason or f"the processing job ended as {status}",
        status=status,
        exit_message=exit_message,
        failure_reason=failure_reason,
        ran_out_of_time=_ran_out_of_time(data),
    )


def _read_training_job(data: dict[str, Any]) -> Cause:
    failure_reason, status = _text(data, "FailureReason"), _text(data, "TrainingJobStatus")
    detail = _text(data, "SecondaryStatus")
    return Cause(
        message=failure_reason or f"the training job ended as {detail or status}",
        status=status,
        failure_reason=failure_reason,
        ran_out_of_time=detail == "MaxRuntimeExceeded",
        waited_too_long=detail == "MaxWaitTimeExceeded",
    )


def _explaining(exit_message: str) -> str:
    """Return what explains a failure in the messages of all instances, which SageMaker joins.

    When one instance fails, SageMaker stops the others, and their messages may come first.

    >>> _explaining("STOPPED: the container was stoppedDATA: 1 of 2 objects failed")
    'DATA: 1 of 2 objects failed'
    >>> _explaining("STOPPED: the container got SIGTERM")
    'STOPPED: the container got SIGTERM'
    """
    if not _NEXT_MESSAGE.match(exit_message):
        return exit_message
    messages = _NEXT_MESSAGE.split(exit_message)
    return "".join(text for text in messages if not text.startswith(_STOPPED)).strip() or exit_message


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return replace_control_characters(value.strip()) if isinstance(value, str) else ""


def _ran_out_of_time(described: dict[str, Any]) -> bool:
    """Return whether the job reached its run time limit.

    SageMaker reports such a job as Stopped, like a manual stop.
    """
    condition = described.get("StoppingCondition")
    limit = condition.get("MaxRuntimeInSeconds") if isinstance(condition, dict) else None
    started, ended = described.get("ProcessingStartTime"), described.get("ProcessingEndTime")
    if not (isinstance(limit, int) and isinstance(started, (int, float)) and isinstance(ended, (int, float))):
        return False
    # Times in the `.sync` result are in epoch milliseconds.
    return (ended - started) / 1_000 >= limit
