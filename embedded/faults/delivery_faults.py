"""Faults of events and messages on their way, and of calls of Lambda functions."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from embedded.faults.fault import Fault, at_least, option, pattern


@dataclass(frozen=True, kw_only=True)
class EventFault(Fault):
    """A fault of the delivery of an event to one target."""

    source: str = pattern("Source: that of an event, such as aws.s3, or aws:sqs, aws:dynamodb, aws.scheduler")
    detail_type: str = pattern("Type of the event, such as 'Object Created'")
    target: str = pattern("ARN of the target, or the name at its end")
    schedule: str = pattern("Name of the schedule, of deliveries of EventBridge Scheduler")

    def concerns(self, source: str, detail_type: str, target_arn: str, schedule: str = "") -> bool:
        """Return whether the patterns describe a delivery. Only those of EventBridge Scheduler have a schedule."""
        targets = (target_arn, target_arn.rpartition(":")[2].rpartition("/")[2])
        return (
            fnmatchcase(source, self.source)
            and fnmatchcase(detail_type, self.detail_type)
            and fnmatchcase(schedule, self.schedule)
            and any(fnmatchcase(each, self.target) for each in targets)
        )


@dataclass(frozen=True, kw_only=True)
class LoseEvent(EventFault):
    """An event does not arrive."""

    KIND: ClassVar[str] = "lose-event"
    EXAMPLE: ClassVar[str] = "--source aws.s3 --target '*Uploads*'"


@dataclass(frozen=True, kw_only=True)
class DoubleEvent(EventFault):
    """An event arrives twice."""

    KIND: ClassVar[str] = "double-event"
    EXAMPLE: ClassVar[str] = "--source aws.s3 --count 2"


@dataclass(frozen=True, kw_only=True)
class DelayEvent(EventFault):
    """An event arrives late, after events that came later."""

    KIND: ClassVar[str] = "delay-event"
    EXAMPLE: ClassVar[str] = "--source aws:sqs --seconds 10"

    seconds: float = option("Seconds until it arrives. Default: 5.", default=5.0)

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "seconds", 0)


@dataclass(frozen=True, kw_only=True)
class FunctionFault(Fault):
    """A fault of calls of functions."""

    function: str = pattern("Name of the function")
    when: str = option(
        "Whether the function's code has ended its work before. Default: after.",
        default="after",
        choices=("before", "after"),
    )

    def concerns(self, function_name: str) -> bool:
        """Return whether the pattern describes a function."""
        return fnmatchcase(function_name, self.function)


@dataclass(frozen=True, kw_only=True)
class CrashFunction(FunctionFault):
    """The process of a function ends without an answer."""

    KIND: ClassVar[str] = "crash-function"
    EXAMPLE: ClassVar[str] = "--function '*RecordAttempt*'"


@dataclass(frozen=True, kw_only=True)
class TimeOutFunction(FunctionFault):
    """A function does not end within its time-out. The call fails at once, without the wait."""

    KIND: ClassVar[str] = "time-out-function"
    EXAMPLE: ClassVar[str] = "--function '*Plan*' --when before"


@dataclass(frozen=True, kw_only=True)
class OutOfMemoryFunction(FunctionFault):
    """A function needs more memory than it has, and is killed."""

    KIND: ClassVar[str] = "out-of-memory-function"
    EXAMPLE: ClassVar[str] = "--function '*Verify*'"
