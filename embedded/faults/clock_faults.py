"""Faults of clocks."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from embedded.faults.fault import Fault, at_least, option, pattern
from embedded.faults.job_faults import TimedJobFault


@dataclass(frozen=True, kw_only=True)
class ClockJump(Fault):
    """The clock of EventBridge Scheduler jumps. It looks at its schedules five times a second."""

    KIND: ClassVar[str] = "clock-jump"
    EXAMPLE: ClassVar[str] = "--seconds 86400"

    seconds: float = option("Seconds by which it jumps; below 0, back. Default: 3600.", default=3600.0)


@dataclass(frozen=True, kw_only=True)
class FunctionClock(Fault):
    """The clock that a function's code reads is wrong. Those of all services are right."""

    KIND: ClassVar[str] = "function-clock"
    EXAMPLE: ClassVar[str] = "--function '*Record*' --seconds -840"
    STANDS: ClassVar[bool] = True

    function: str = pattern("Name of the function")
    seconds: float = option("Seconds by which it is ahead; below 0, behind. Default: -3600.", default=-3600.0)
    rate: float = option("Seconds that pass on it per second, from the start of each call. Default: 1.", default=1.0)

    def problems(self) -> list[str]:
        return super().problems() + _rate_problems(self.rate)

    def concerns(self, function_name: str) -> bool:
        """Return whether the pattern describes a function."""
        return fnmatchcase(function_name, self.function)


@dataclass(frozen=True, kw_only=True)
class InstanceClock(TimedJobFault):
    """The clock of a job's instances is wrong, from their start or from a moment on.

    Instances without a fault when they start keep the right clock. The last fault that happened decides.
    """

    KIND: ClassVar[str] = "instance-clock"
    EXAMPLE: ClassVar[str] = "--job 'dev-*' --seconds 60 --objects 2"
    STANDS: ClassVar[bool] = True

    instance: int | None = option("Number of the instance, from 1. Default: all instances.", default=None)
    objects: int = option("Number of objects that each instance must have scored. Default: 0.", default=0)
    seconds: float = option("Seconds by which it is ahead; below 0, behind. Default: -3600.", default=-3600.0)
    rate: float = option("Seconds that pass on it per second, from that moment on. Default: 1.", default=1.0)

    def problems(self) -> list[str]:
        instance = [] if self.instance is None else at_least(self, "instance", 1)
        return super().problems() + instance + at_least(self, "objects", 0) + _rate_problems(self.rate)

    @property
    def is_wrong_at_start(self) -> bool:
        """Whether the clock is wrong before the container starts."""
        return not (self.running_seconds or self.uploads or self.objects or self.after_log)


def _rate_problems(rate: float) -> list[str]:
    return [] if 0 < rate <= 1000 else [f"rate: got {rate:g}, expected more than 0 and at most 1000"]
