"""The state that all kinds of jobs share: request, status, times and events."""

from __future__ import annotations

import abc
import enum
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from embedded.sagemaker.jobs.packed_request import PackedRequest

DEFAULT_MAX_RUNTIME_SECONDS = 86_400
FAILURE_REASON_CHARACTERS = 1_024
ENDED_WITH_SERVER = "InternalServerError: The embedded AWS ended while this job ran. Start a new one."
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
class JobKind:
    """A kind of job. `name` is the word in its operations and members, such as Processing."""

    name: str

    @property
    def noun(self) -> str:
        """Return the kind as messages name it, such as "processing job"."""
        return f"{self.name.lower()} job"

    @property
    def arn_type(self) -> str:
        return f"{self.name.lower()}-job"

    @property
    def event_type(self) -> str:
        """Return the detail type of its events in EventBridge."""
        return f"SageMaker {self.name} Job State Change"

    @property
    def log_group(self) -> str:
        return f"/aws/sagemaker/{self.name}Jobs"

    def member(self, ending: str) -> str:
        """Return a member's name with the kind: "ProcessingJobName" for "Name"."""
        return f"{self.name}Job{ending}"


@dataclass(frozen=True)
class InstanceExited:
    """Event of a running job: an instance has ended."""

    host: str
    exit_code: int


class StopRequested:
    """Event of a running job: it must end early."""


class SpotInterrupted:
    """Event of a running job: its spot instances are interrupted."""


Event = InstanceExited | StopRequested | SpotInterrupted


@dataclass(frozen=True)
class Container:
    """The program that a job starts on each instance.

    For `entrypoint` and `arguments`, None means those of the image.
    """

    image_uri: str
    entrypoint: list[str] | None
    arguments: list[str] | None
    environment: dict[str, str]
    is_network_isolated: bool


_ENDED_EVENTS: queue.SimpleQueue[Event] = queue.SimpleQueue()
_ENDED_STOP = threading.Event()
_ENDED_CHANGE = threading.Condition()
"""What all ended jobs share: nothing changes them, and each lock takes a kilobyte."""


def epoch_seconds(moment: datetime) -> float:
    """Return a timestamp as the JSON protocol writes it."""
    return round(moment.timestamp(), 3)


def epoch_milliseconds(moment: datetime) -> float:
    """Return a timestamp as Step Functions writes it."""
    return int(moment.timestamp() * 1000)


@dataclass(eq=False)
class Job(abc.ABC):
    """One job. Its methods are thread-safe.

    `request` is a valid Create request of JSON's types, and never changes. `events` go to the thread
    that runs the job.
    """

    kind: ClassVar[JobKind]

    request: Mapping[str, Any]
    arn: str
    tags: dict[str, str]
    events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    status: Status = Status.IN_PROGRESS
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure_reason: str | None = None
    stop_requested: threading.Event = field(default_factory=threading.Event)
    announce: Callable[[Job], None] = lambda job: None
    """Called after each change of the status."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.modified_at = self.created_at
        self.name = str(self.request[self.kind.member("Name")])
        self._shown_request = ""

    @property
    def role_arn(self) -> str:
        return str(self.request["RoleArn"])

    @property
    @abc.abstractmethod
    def instance_count(self) -> int: ...

    @property
    @abc.abstractmethod
    def instance_type(self) -> str: ...

    @property
    @abc.abstractmethod
    def volume_size_gb(self) -> int: ...

    @property
    @abc.abstractmethod
    def container(self) -> Container: ...

    @abc.abstractmethod
    def folders(self) -> list[str]:
        """Return the folders below /opt/ml that SageMaker creates before a container starts."""

    @abc.abstractmethod
    def mount_points(self) -> list[str]:
        """Return the folders below /opt/ml that SageMaker may mount each by itself."""

    @abc.abstractmethod
    def files(self, host: str) -> Mapping[str, dict[str, Any]]:
        """Return the JSON files, by path, that SageMaker writes for a host before its container."""

    @property
    def hosts(self) -> list[str]:
        return [f"algo-{number}" for number in range(1, self.instance_count + 1)]

    @property
    def max_runtime_seconds(self) -> int:
        condition = self.request.get("StoppingCondition") or {}
        return int(condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS))

    def start(self) -> None:
        with self._changed:
            self.started_at = self.modified_at = datetime.now(UTC)

    def mark_stopping(self) -> bool:
        """Set the status Stopping. Return False if the job has already ended."""
        with self._changed:
            if self.status.is_final:
                return False
            self.status = Status.STOPPING
            self.modified_at = datetime.now(UTC)
        self.announce(self)
        return True

    def request_stop(self) -> bool:
        """Ask the job to end early. Return False if it has already ended."""
        stop_requested, events = self.stop_requested, self.events
        if not self.mark_stopping():
            return False
        stop_requested.set()
        events.put(StopRequested())
        return True

    def end(self, status: Status, *, failure_reason: str | None = None) -> None:
        """Set the final status, unless the job already has one."""
        with self._changed:
            if self.status.is_final:
                return
            self.failure_reason = failure_reason[:FAILURE_REASON_CHARACTERS] if failure_reason else None
            self.ended_at = self.modified_at = datetime.now(UTC)
            self.status = status
            self._changed.notify_all()
        self.announce(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended. Return False if `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.status.is_final, timeout)

    def release(self) -> None:
        """Free most of the memory of a job that has ended. No thread may run it any more."""
        with self._changed:
            self.request = PackedRequest(self.request)
            self.announce = lambda job: None
            self._shown_request = ""
            self.events, self.stop_requested, self._changed = _ENDED_EVENTS, _ENDED_STOP, _ENDED_CHANGE

    def saved(self) -> dict[str, Any]:
        """Return the state for `restore`, as builtin types and datetimes."""
        with self._changed:
            return {
                "created_at": self.created_at,
                "started_at": self.started_at,
                "ended_at": self.ended_at,
                "modified_at": self.modified_at,
                "failure_reason": self.failure_reason,
                "status": str(self.status),
            }

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that `saved` returned in an earlier server.

        A job that had not ended fails: its processes have ended with that server.
        """
        for name in ("created_at", "started_at", "ended_at", "modified_at", "failure_reason"):
            setattr(self, name, saved[name])
        status = Status(saved["status"])
        if status.is_final:
            self.status = status
        else:
            self.end(Status.FAILED, failure_reason=ENDED_WITH_SERVER)

    def describe(self, timestamp: Timestamp = epoch_seconds) -> dict[str, Any]:
        """Return the response of Describe: the request with defaults, and the job's progress."""
        with self._changed:
            described = self._described_request()
            member = self.kind.member
            described |= {member("Arn"): self.arn, member("Status"): str(self.status)}
            return described | _shown(self._progress(timestamp) | self._times(timestamp) | self._details(timestamp))

    def summarize(self) -> dict[str, Any]:
        """Return the job's entry in the response of the List operation."""
        with self._changed:
            member = self.kind.member
            names = {member("Name"): self.name, member("Arn"): self.arn, member("Status"): str(self.status)}
            return names | _shown(self._times(epoch_seconds) | self._progress(epoch_seconds))

    def _described_request(self) -> dict[str, Any]:
        """Return a new copy of the request as Describe shows it."""
        if not self._shown_request:
            shown = json.loads(json.dumps({name: value for name, value in self.request.items() if name != "Tags"}))
            shown.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS})
            self._add_defaults(shown)
            if self.status.is_final:
                return dict(shown)
            self._shown_request = json.dumps(shown)
        described: dict[str, Any] = json.loads(self._shown_request)
        return described

    @abc.abstractmethod
    def _add_defaults(self, described: dict[str, Any]) -> None:
        """Add the defaults of members that the request omits."""

    @abc.abstractmethod
    def _progress(self, timestamp: Timestamp) -> dict[str, Any]:
        """Return members of both description and summary. Those that are None are omitted."""

    @abc.abstractmethod
    def _details(self, timestamp: Timestamp) -> dict[str, Any]:
        """Return members of the description only. Those that are None are omitted."""

    def _times(self, timestamp: Timestamp) -> dict[str, Any]:
        moments = {
            "CreationTime": self.created_at,
            "LastModifiedTime": self.modified_at,
            f"{self.kind.name}EndTime": self.ended_at,
        }
        return {name: timestamp(moment) for name, moment in moments.items() if moment}


def _shown(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
