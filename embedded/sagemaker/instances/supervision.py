"""Supervision of a job's running instances: signals, time limits, and the outcome."""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from embedded.sagemaker.instances.instance import Instance
from embedded.sagemaker.jobs.job import Event, InstanceExited, Job, SpotInterrupted, Status, StopRequested

NEVER = float("inf")


class Ending(enum.Enum):
    """How the instances of a job ended."""

    COMPLETED = enum.auto()
    FAILED = enum.auto()
    STOPPED = enum.auto()
    OUT_OF_RUNTIME = enum.auto()
    OUT_OF_WAITING_TIME = enum.auto()
    INTERRUPTED = enum.auto()

    @property
    def status(self) -> Status:
        """The final status of a job with this ending."""
        return {Ending.COMPLETED: Status.COMPLETED, Ending.FAILED: Status.FAILED}.get(self, Status.STOPPED)


@dataclass(frozen=True)
class Outcome:
    """The end of a job's instances.

    `failed_host` is the first host with an exit code other than 0.
    """

    ending: Ending
    reason: str | None = None
    failed_host: str | None = None
    exit_code: int = 0


class Supervision:
    """Waits for the end of all instances, and ends them on a failure, a stop or a time limit.

    The first of these events decides the outcome, except that a stop overrides an interruption,
    after which the job would run again. `limits` maps endings to times of the monotonic clock.
    """

    def __init__(
        self,
        job: Job,
        instances: Mapping[str, Instance],
        *,
        limits: Mapping[Ending, float],
        grace_seconds: float,
        closing: threading.Event,
    ) -> None:
        self._job = job
        self._running = dict(instances)
        self._limits = dict(limits)
        self._grace_seconds = grace_seconds
        self._grace_ends = NEVER
        self._closing = closing
        self._outcome = Outcome(Ending.COMPLETED)

    def wait(self) -> Outcome:
        """Block until all instances have ended."""
        while self._running:
            due = min(self._grace_ends, *self._limits.values(), NEVER)
            try:
                event = self._job.events.get(timeout=None if due == NEVER else max(0.0, due - time.monotonic()))
            except queue.Empty:
                self._handle_timeout()
            else:
                self._handle(event)
        return self._outcome

    @property
    def _is_undecided(self) -> bool:
        return self._outcome.ending is Ending.COMPLETED

    def _handle_timeout(self) -> None:
        now = time.monotonic()
        if self._grace_ends <= now:
            self._grace_ends = NEVER
            self._kill()
            return
        over = [ending for ending, moment in self._limits.items() if moment <= now]
        if over:
            self._job.mark_stopping()
            self._end_early(Outcome(over[0]))

    def _handle(self, event: Event) -> None:
        if isinstance(event, InstanceExited):
            del self._running[event.host]
            if event.exit_code != 0 and self._is_undecided:
                self._end_early(Outcome(Ending.FAILED, failed_host=event.host, exit_code=event.exit_code))
        elif isinstance(event, SpotInterrupted):
            if self._is_undecided:
                self._end_early(Outcome(Ending.INTERRUPTED))
        elif isinstance(event, StopRequested):
            if self._outcome.ending is Ending.INTERRUPTED:
                self._outcome = Outcome(Ending.STOPPED)
            elif self._is_undecided:
                self._end_early(Outcome(Ending.STOPPED))
            if self._closing.is_set():
                self._kill()

    def _end_early(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._limits.clear()
        self._grace_ends = time.monotonic() + self._grace_seconds
        for instance in self._running.values():
            instance.terminate()

    def _kill(self) -> None:
        for instance in self._running.values():
            instance.kill()
