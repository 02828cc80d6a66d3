"""A processing job: what was asked for, how far it is, and how the API describes it."""

from __future__ import annotations

import copy
import enum
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DEFAULT_MAX_RUNTIME_SECONDS = 86_400
FAILURE_REASON_CHARACTERS = 1_024
Timestamp = Callable[[datetime], float]


class Status(enum.StrEnum):
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        return self in {Status.COMPLETED, Status.FAILED, Status.STOPPED}


@dataclass(frozen=True)
class InstanceExited:
    """An event of a running job: the process of an instance has ended."""

    host: str
    exit_code: int


class StopRequested:
    """An event of a running job: somebody wants it to end early."""


def epoch_seconds(moment: datetime) -> float:
    """As the JSON protocol writes timestamps."""
    return round(moment.timestamp(), 3)


def epoch_milliseconds(moment: datetime) -> float:
    """As Step Functions writes timestamps."""
    return int(moment.timestamp() * 1000)


@dataclass(eq=False)
class ProcessingJob:
    """One job; safe to use from several threads.

    `request` is a valid CreateProcessingJob request and never changes. `events` tells the thread that runs the job
    what has happened.
    """

    request: dict[str, Any]
    arn: str
    tags: dict[str, str]
    events: queue.SimpleQueue[InstanceExited | StopRequested] = field(default_factory=queue.SimpleQueue)
    status: Status = Status.IN_PROGRESS
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_message: str | None = None
    failure_reason: str | None = None
    stop_requested: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.modified_at = self.created_at

    @property
    def name(self) -> str:
        return str(self.request["ProcessingJobName"])

    @property
    def role_arn(self) -> str:
        return str(self.request["RoleArn"])

    @property
    def instance_count(self) -> int:
        return int(self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])

    @property
    def hosts(self) -> list[str]:
        return [f"algo-{number}" for number in range(1, self.instance_count + 1)]

    @property
    def max_runtime_seconds(self) -> int:
        condition = self.request.get("StoppingCondition") or {}
        return int(condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS))

    @property
    def is_network_isolated(self) -> bool:
        return bool((self.request.get("NetworkConfig") or {}).get("EnableNetworkIsolation", False))

    def start(self) -> None:
        with self._changed:
            self.started_at = self.modified_at = datetime.now(UTC)

    def request_stop(self) -> bool:
        """Ask the job to end; False when it has ended already."""
        with self._changed:
            if self.status.is_final:
                return False
            self.status = Status.STOPPING
            self.modified_at = datetime.now(UTC)
        self.stop_requested.set()
        self.events.put(StopRequested())
        return True

    def end(self, status: Status, *, exit_message: str | None = None, failure_reason: str | None = None) -> None:
        """Give the job its final status; a job that has one keeps it."""
        with self._changed:
            if self.status.is_final:
                return
            self.exit_message = exit_message or None
            self.failure_reason = failure_reason[:FAILURE_REASON_CHARACTERS] if failure_reason else None
            self.ended_at = self.modified_at = datetime.now(UTC)
            self.status = status
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended; False when `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.status.is_final, timeout)

    def describe(self, timestamp: Timestamp = epoch_seconds) -> dict[str, Any]:
        """The answer of DescribeProcessingJob."""
        with self._changed:
            described = copy.deepcopy({name: value for name, value in self.request.items() if name != "Tags"})
            outputs = (described.get("ProcessingOutputConfig") or {}).get("Outputs") or []
            for item in [*(described.get("ProcessingInputs") or []), *outputs]:
                item.setdefault("AppManaged", False)
            described.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS})
            described |= {"ProcessingJobArn": self.arn, "ProcessingJobStatus": str(self.status)}
            return described | self._progress(timestamp, {"ProcessingStartTime": self.started_at})

    def summarize(self) -> dict[str, Any]:
        """The job's entry in the answer of ListProcessingJobs."""
        with self._changed:
            names = {"ProcessingJobName": self.name, "ProcessingJobArn": self.arn}
            return {**names, "ProcessingJobStatus": str(self.status), **self._progress(epoch_seconds, {})}

    def _progress(self, timestamp: Timestamp, more: dict[str, datetime | None]) -> dict[str, Any]:
        moments = {
            "CreationTime": self.created_at,
            "LastModifiedTime": self.modified_at,
            "ProcessingEndTime": self.ended_at,
            **more,
        }
        texts = {"ExitMessage": self.exit_message, "FailureReason": self.failure_reason}
        return {name: timestamp(moment) for name, moment in moments.items() if moment} | {
            name: text for name, text in texts.items() if text is not None
        }
