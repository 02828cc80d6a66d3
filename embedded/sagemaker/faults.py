"""Faults to inject into jobs, for tests and experiments with recovery.

Each scheduled fault is a file, so that processes other than the server can schedule one
(`EmbeddedAws.faults`, `python -m embedded.faults`). A job deletes the file before the fault
happens, so each fault happens once.
"""

from __future__ import annotations

import fnmatch
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar


@dataclass(frozen=True)
class SpotInterruption:
    """One interruption of a job's spot instances.

    It ends the first attempt that meets all conditions, of a job with `EnableManagedSpotTraining`.

    Args:
        job_name: Name of the job, with the wildcards `*` and `?`.
        after_checkpoints: Number of uploads to the checkpoint prefix that the attempt must have
            made.
        after_log: Regular expression that must match a line printed after the fault was scheduled;
            None means any time.
    """

    job_name: str
    after_checkpoints: int = 0
    after_log: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.job_name:
            problems.append("job_name: it is empty, expected the name of a training job or a pattern such as '*'")
        if self.after_checkpoints < 0:
            problems.append(f"after_checkpoints: {self.after_checkpoints} is too few, expected 0 or more")
        try:
            re.compile(self.after_log or "")
        except re.error as error:
            problems.append(f"after_log: {self.after_log!r} is not a regular expression: {error}")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True)
class OutputCorruption:
    """One changed byte in an object on its way from an instance to S3.

    Args:
        key: Key of the object in its bucket, with the wildcards `*` and `?`.
    """

    key: str

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("key: it is empty, expected the key of an object or a pattern such as 'predictions/*'")


Fault = SpotInterruption | OutputCorruption
_KINDS: dict[str, type[Fault]] = {"interrupt-spot": SpotInterruption, "corrupt-output": OutputCorruption}
_KIND = "kind"
_F = TypeVar("_F", SpotInterruption, OutputCorruption)


class Faults:
    """Scheduled faults of one embedded AWS that have not happened yet.

    Example:
        Interrupt a training job after its second checkpoint, and check that it has happened::

            with EmbeddedAws() as aws:
                aws.faults.interrupt_spot("churn-*", after_checkpoints=2)
                ...  # run the training job
                assert aws.faults.pending() == []
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "faults"

    def interrupt_spot(
        self, job_name: str, *, after_checkpoints: int = 0, after_log: str | None = None, times: int = 1
    ) -> None:
        """Schedule `times` interruptions. Each ends one attempt of a job.

        Raises:
            ValueError: An argument is not valid; the message lists all problems.
        """
        self._schedule(SpotInterruption(job_name, after_checkpoints, after_log), times)

    def corrupt_output(self, key: str, *, times: int = 1) -> None:
        """Schedule `times` changes. Each changes one byte of an object that a job uploads.

        Raises:
            ValueError: An argument is not valid.
        """
        self._schedule(OutputCorruption(key), times)

    def pending(self) -> list[Fault]:
        """Return the faults that have not happened yet.

        At the end of a test there should be none.
        """
        return list(self._all_pending().values())

    def cancel(self) -> int:
        """Cancel all pending faults and return their number."""
        return sum(self.take(file) for file in self._all_pending())

    def pending_files(self, kind: type[_F]) -> dict[Path, _F]:
        """Return the pending faults of a kind by file, oldest first."""
        return {file: fault for file, fault in self._all_pending().items() if isinstance(fault, kind)}

    def take(self, file: Path) -> bool:
        """Delete a fault's file. Return False if another job has already deleted it."""
        try:
            file.unlink()
        except FileNotFoundError:
            return False
        return True

    def take_corruption(self, key: str) -> bool:
        """Return whether a fault changes the object with this key, and remove the fault."""
        return any(
            fnmatch.fnmatchcase(key, fault.key) and self.take(file)
            for file, fault in self.pending_files(OutputCorruption).items()
        )

    def _schedule(self, fault: Fault, times: int) -> None:
        if times < 1:
            raise ValueError(f"times: {times} is too few, expected at least 1")
        (kind,) = [name for name, known in _KINDS.items() if isinstance(fault, known)]
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(times):
            # Names sort by time. Readers look for *.json, so they never see a half-written file.
            file = self._folder / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
            file.write_text(json.dumps({_KIND: kind, **asdict(fault)}), encoding="utf-8")
            file.rename(file.with_suffix(".json"))

    def _all_pending(self) -> dict[Path, Fault]:
        found = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                fields = json.loads(file.read_text(encoding="utf-8"))
            except FileNotFoundError:  # another job has deleted it
                continue
            found[file] = _KINDS[fields.pop(_KIND)](**fields)
        return found


class InterruptionWatch:
    """Waits until an attempt of a job must be interrupted."""

    def __init__(self, faults: Faults, job_name: str, *, checkpoints: Callable[[], int]) -> None:
        self._faults = faults
        self._job_name = job_name
        self._checkpoints = checkpoints
        self._lock = threading.Lock()
        self._faults_by_file: dict[Path, SpotInterruption] = {}
        self._log_matches: set[Path] = set()
        self._refresh()

    def line(self, text: str) -> None:
        """Record a line that the job has printed."""
        with self._lock:
            self._log_matches.update(
                file
                for file, fault in self._faults_by_file.items()
                if fault.after_log and re.search(fault.after_log, text)
            )

    def watch(self, stop: threading.Event, *, interval_seconds: float, interrupt: Callable[[], None]) -> None:
        """Call `interrupt` once when a fault is due, and return.

        Return without the call when `stop` is set.
        """
        while not self._take_due():
            if stop.wait(interval_seconds):
                return
            self._refresh()
        interrupt()

    def _refresh(self) -> None:
        found = {
            file: fault
            for file, fault in self._faults.pending_files(SpotInterruption).items()
            if fnmatch.fnmatchcase(self._job_name, fault.job_name)
        }
        with self._lock:
            self._faults_by_file = found

    def _take_due(self) -> bool:
        with self._lock:
            ready = [
                file
                for file, fault in self._faults_by_file.items()
                if self._checkpoints() >= fault.after_checkpoints
                and (fault.after_log is None or file in self._log_matches)
            ]
        return any(self._faults.take(file) for file in ready)
