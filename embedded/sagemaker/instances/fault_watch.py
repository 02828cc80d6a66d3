"""The watch over a running job for the moments at which its faults happen."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable

from embedded.faults import Faults, InstanceClock, InterruptSpot, KillInstance
from embedded.faults.job_faults import SCORED_OBJECT, TimedJobFault
from embedded.sagemaker.jobs.job import Job, SpotInterrupted
from embedded.sagemaker.transfer.outputs import OutputUpload

_SCORED_OBJECT = re.compile(SCORED_OBJECT)
_IDLE_INTERVALS = 5
"""Number of intervals between two looks while no fault concerns the job: most jobs never have one."""


class FaultWatch:
    """Kills instances of one attempt of a job, sets their clocks, and interrupts spot instances, as faults say.

    Args:
        uploads: Uploads of the job while it runs.
        is_running: Returns whether the instance of a host runs.
        kill: Kills the instance that a fault names.
        set_clock: Sets the clocks that a fault names.
        interval_seconds: Time between two looks at the faults while one concerns the job.
    """

    def __init__(
        self,
        faults: Faults,
        job: Job,
        *,
        uploads: OutputUpload,
        is_running: Callable[[str], bool],
        kill: Callable[[KillInstance], None],
        set_clock: Callable[[InstanceClock], None],
        interval_seconds: float,
    ) -> None:
        self._faults = faults
        self._job = job
        self._uploads = uploads
        self._kill = kill
        self._set_clock = set_clock
        self._interval_seconds = interval_seconds
        self._is_running = is_running
        self._began: float | None = None
        self._lock = threading.Lock()
        self._scored: Counter[str] = Counter()
        self._log_matches: set[str] = set()
        self._known: dict[str, TimedJobFault] = {}
        # An attempt is one occasion of a fault, and at most one interruption ends it.
        self._decided: set[str] = set()
        self._is_interrupted = False
        self.sets_clocks = any(clock.concerns(job.name) for _, clock in faults.scheduled(InstanceClock))
        """Whether faults may set clocks of this attempt. Later ones are too late for it."""
        self._refresh()

    def prepare(self) -> None:
        """Set the clocks that are wrong before the containers start."""
        with self._lock:
            for fault_id, fault in self._known.items():
                if isinstance(fault, InstanceClock) and fault.is_wrong_at_start:
                    self._decide(fault_id, fault)

    def begin(self) -> None:
        """Let faults happen from now on: all instances have started."""
        self._began = time.monotonic()

    def line(self, host: str, text: str) -> None:
        """Record a line that an instance has printed."""
        if _SCORED_OBJECT.search(text):
            self._scored[host] += 1
        self._refresh()
        self._log_matches.update(
            fault_id for fault_id, fault in self._known.items() if fault.after_log and re.search(fault.after_log, text)
        )
        if self._known:
            self._act()

    def look(self) -> float:
        """Act on the faults that are due. Return the seconds until the next look."""
        self._refresh()
        self._act()
        return self._interval_seconds * (1 if self._known else _IDLE_INTERVALS)

    def _refresh(self) -> None:
        is_spot = bool(self._job.request.get("EnableManagedSpotTraining"))
        self._known = {
            fault_id: fault
            for fault_id, fault in self._faults.scheduled(TimedJobFault)
            if fault_id not in self._decided
            and fault.concerns(self._job.name)
            and (is_spot if isinstance(fault, InterruptSpot) else self._has_instance(fault))
        }

    def _has_instance(self, fault: TimedJobFault) -> bool:
        if isinstance(fault, InstanceClock):
            return self.sets_clocks and (fault.instance or 1) <= self._job.instance_count
        return isinstance(fault, KillInstance) and fault.instance <= self._job.instance_count

    def _act(self) -> None:
        with self._lock:
            for fault_id, fault in self._known.items():
                if fault_id in self._decided or not self._is_due(fault_id, fault):
                    continue
                if isinstance(fault, InterruptSpot) and self._is_interrupted:
                    continue
                self._decide(fault_id, fault)

    def _decide(self, fault_id: str, fault: TimedJobFault) -> None:
        """Let a fault happen that is due, unless its count or its probability say no."""
        self._decided.add(fault_id)
        if not self._faults.take(fault_id, f"{self._job.kind.noun} {self._job.name}"):
            return
        if isinstance(fault, KillInstance):
            self._kill(fault)
        elif isinstance(fault, InstanceClock):
            self._set_clock(fault)
        else:
            self._is_interrupted = True
            self._job.events.put(SpotInterrupted())

    def _is_due(self, fault_id: str, fault: TimedJobFault) -> bool:
        if self._began is None:
            return False
        if isinstance(fault, KillInstance | InstanceClock):
            hosts = self._job.hosts if fault.instance is None else [self._job.hosts[fault.instance - 1]]
            if any(self._scored[host] < fault.objects or not self._is_running(host) for host in hosts):
                return False
        return (
            time.monotonic() - self._began >= fault.running_seconds
            and self._uploads.count >= fault.uploads
            and (fault.after_log is None or fault_id in self._log_matches)
        )
