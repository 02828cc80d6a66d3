"""EventBridge Scheduler: fires schedules by a clock that tests can move."""

from embedded.scheduler.clock import EmbeddedClock
from embedded.scheduler.service import SchedulerService

__all__ = ["EmbeddedClock", "SchedulerService"]
