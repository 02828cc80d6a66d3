"""One running execution: its record, its history and its branches."""

import threading
from dataclasses import dataclass, field
from typing import Any

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.language import Context
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import dump
from embedded.step_functions.executions.cancellation import Cancellation
from embedded.step_functions.executions.execution_log import ExecutionLog
from embedded.step_functions.executions.resume_point import ResumePoint

HISTORY_LIMIT_EVENTS = 25_000
"""Largest number of events in the history of an execution, as on AWS."""

_FINISHED_EVENTS = {
    "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails"),
    "FAILED": ("ExecutionFailed", "executionFailedEventDetails"),
    "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
    "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails"),
}


class Execution:
    """A running execution of a state machine, or a child of a distributed Map."""

    def __init__(
        self, record: workflows.Record, *, role_arn: str, cancellation: Cancellation, log: ExecutionLog
    ) -> None:
        self.record = record
        self.log = log
        self.role_arn = role_arn
        self.cancellation = cancellation
        self.done = threading.Event()
        parts = record["executionArn"].split(":")
        self.region, self.account_id = parts[3], parts[4]

    @property
    def arn(self) -> str:
        return str(self.record["executionArn"])

    def add_event(self, kind: str, details: dict[str, Any], previous: int) -> int:
        """Append an event to the history and return its id.

        Raises:
            TaskError: The history is full.
        """
        with workflows.EVENT_LOCK:
            if len(self.record["events"]) >= HISTORY_LIMIT_EVENTS - 1:
                text = f"The execution reached the maximum number of history events ({HISTORY_LIMIT_EVENTS})."
                raise TaskError("States.Runtime", text)
            event = workflows.add_event(self.record, kind, details, previous)
            if self.record["status"] != "RUNNING":
                # StopExecution and the time limit end the record before the states have ended: keep
                # the end as the last event.
                events = self.record["events"]
                events[-2:] = events[-1], events[-2]
                events[-2]["id"], events[-1]["id"] = events[-1]["id"], event
                event = int(events[-2]["id"])
            return event

    def succeed(self, output: Any, previous: int) -> None:
        text = dump(output)
        shown = {"output": text, "outputDetails": {"truncated": False}}
        self._finish("SUCCEEDED", {"output": text}, shown, previous)

    def fail(self, status: str, error: str, cause: str, previous: int = 0) -> bool:
        """End as FAILED, TIMED_OUT or ABORTED. Return False if the execution had already ended.

        Error and cause may be empty: AWS reports neither then.
        """
        given = {"error": error or None, "cause": cause or None}
        shown = {name: text for name, text in given.items() if text is not None}
        return self._finish(status, given, shown, previous)

    def _finish(self, status: str, result: dict[str, Any], shown: dict[str, Any], previous: int) -> bool:
        kind, details = _FINISHED_EVENTS[status]
        with workflows.EVENT_LOCK:
            if self.record["status"] != "RUNNING":
                return False
            workflows.add_event(self.record, kind, {details: shown}, previous)
            self.record.update(result, stopDate=workflows.timestamp(), status=status)
        if "mapRunArn" not in self.record:
            workflows.announce_status(self.record)
        return True


@dataclass
class FanOutAttempt:
    """The progress of a failed attempt of a state that fans out.

    Args:
        parts: See `ResumePoint.parts`. In a redrive, the parts from which the attempt continues.
        is_reported: Whether AWS reports the failure as an event of the state (`MapStateFailed`).
    """

    parts: Any = None
    is_reported: bool = False


@dataclass
class Branch:
    """A sequence of states: the execution, a Parallel branch, or an inline Map's iteration.

    `time_scale` multiplies the seconds of Wait states and of retries. `last_event` is the id of the
    event before the next one. As on AWS, the first state has none. `resume_point` is set when the
    branch has ended unsuccessfully.
    """

    execution: Execution
    context: Context
    cancellation: Cancellation
    last_event: int = 0
    time_scale: float = 1.0
    query_language: str = field(default="JSONPath")
    resume_point: ResumePoint | None = None
    attempt: FanOutAttempt = field(default_factory=FanOutAttempt)

    def add_event(self, kind: str, details: dict[str, Any] | None = None) -> int:
        self.last_event = self.execution.add_event(kind, details or {}, self.last_event)
        return self.last_event

    def sleep(self, seconds: float) -> None:
        """Wait for scaled seconds, and raise CancelledError as soon as the branch is cancelled."""
        self.cancellation.sleep(seconds * self.time_scale)

    def fork(self, context: Context, cancellation: Cancellation) -> "Branch":
        """Return a branch of the same execution that continues from this one's last event."""
        return Branch(
            execution=self.execution,
            context=context,
            cancellation=cancellation,
            last_event=self.last_event,
            time_scale=self.time_scale,
            query_language=self.query_language,
        )


def state_details(name: str, field_name: str, text: str) -> dict[str, Any]:
    """Return the details of an Entered or Exited event; `field_name` is `input` or `output`, and `text` its JSON."""
    return {"name": name, field_name: text, f"{field_name}Details": {"truncated": False}}
