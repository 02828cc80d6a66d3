"""Faults of clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from embedded.faults.fault import Fault, option


@dataclass(frozen=True, kw_only=True)
class ClockJump(Fault):
    """The clock of EventBridge Scheduler jumps. It looks at its schedules five times a second."""

    KIND: ClassVar[str] = "clock-jump"
    EXAMPLE: ClassVar[str] = "--seconds 86400"

    seconds: float = option("Seconds by which it jumps; below 0, back. Default: 3600.", default=3600.0)
