"""Logging of executions to the log group that the state machine names."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embedded.ministack.monitoring.logs import append_log
from embedded.ministack.step_functions import workflows

_FATAL = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")
_ERROR_ENDINGS = ("Failed", "TimedOut", "Aborted")
_DATA_FIELDS = ("input", "output", "parameters", "inputDetails", "outputDetails")


@dataclass(frozen=True)
class ExecutionLog:
    """The logging configuration of a state machine. `level` is ALL, ERROR, FATAL or OFF."""

    level: str
    with_data: bool
    log_group_arns: tuple[str, ...]

    @classmethod
    def of(cls, configuration: dict[str, Any]) -> "ExecutionLog":
        """Read a `loggingConfiguration` of the API."""
        groups = [entry.get("cloudWatchLogsLogGroup", {}) for entry in configuration.get("destinations", [])]
        return cls(
            level=configuration.get("level", "OFF"),
            with_data=bool(configuration.get("includeExecutionData", False)),
            log_group_arns=tuple(group["logGroupArn"] for group in groups if "logGroupArn" in group),
        )

    def write(self, record: workflows.Record) -> None:
        """Log the history of an ended execution since its last redrive.

        AWS logs events while the execution runs.
        """
        messages = [json.dumps(message) for message in self._messages(record)] if self.log_group_arns else []
        stream = f"states/{str(record['stateMachineArn']).rpartition(':')[2]}/{record['startDate'][:13]}"
        for arn in self.log_group_arns if messages else ():
            append_log(arn, stream.replace(":", "-"), messages)

    def _includes(self, kind: str) -> bool:
        """Return whether the level includes a kind of events."""
        match self.level:
            case "ALL":
                return True
            case "ERROR":
                return kind.endswith(_ERROR_ENDINGS) or kind == "FailStateEntered"
            case "FATAL":
                return kind in _FATAL
        return False

    def _messages(self, record: workflows.Record) -> Iterator[dict[str, Any]]:
        count = record.get("redriveCount", 0)
        events: Sequence[dict[str, Any]] = record["events"]
        if count:
            redriven = [index for index, event in enumerate(events) if event["type"] == "ExecutionRedriven"]
            events = events[redriven[-1] if redriven else 0 :]
        for event in events:
            kind = str(event["type"])
            if not self._includes(kind):
                continue
            details: dict[str, Any] = next((value for key, value in event.items() if key.endswith("EventDetails")), {})
            hidden = () if self.with_data else _DATA_FIELDS
            yield {
                "id": str(event["id"]),
                "type": kind,
                "details": {key: value for key, value in details.items() if key not in hidden},
                "previous_event_id": str(event.get("previousEventId", 0)),
                "event_timestamp": event["timestamp"],
                "execution_arn": record["executionArn"],
                "redrive_count": str(count),
            }
