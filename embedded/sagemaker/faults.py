"""Faults that a job suffers on order: for tests of what must survive them, and for trying it out.

An order is a file, so that another process than the server's can give it (`EmbeddedAws.faults`, `python -m
embedded.faults`). Whoever carries it out takes the file away first: each order happens once.
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


@dataclass(frozen=True)
class SpotInterruption:
    """The spot instances of one job are taken away, once.

    It waits for the first attempt of a job with `EnableManagedSpotTraining` whose name matches `job_name` (`*` and `?`
    as in file names), in which `after_checkpoints` uploads to its checkpoint prefix have been made, and a line that
    `after_log` (a regular expression) finds has been printed after the order was given.
    """

    job_name: str
    after_checkpoints: int = 0
    after_log: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.job_name:
            problems.append("job_name: it is empty: give the name of a training job, or a pattern such as '*'")
        if self.after_checkpoints < 0:
            problems.append(f"after_checkpoints: {self.after_checkpoints} is too few: expected 0 or more")
        try:
            re.compile(self.after_log or "")
        except re.error as error:
            problems.append(f"after_log: {self.after_log!r} is no regular expression ({error}): correct it")
        if problems:
            raise ValueError("; ".join(problems))


class Faults:
    """The orders of one embedded AWS that have not been carried out yet."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "faults"

    def interrupt_spot(
        self, job_name: str, *, after_checkpoints: int = 0, after_log: str | None = None, times: int = 1
    ) -> None:
        """Order `times` interruptions: each ends one attempt of a job, so that the next one is another attempt's.

        Raises:
            ValueError: with all that is wrong with the order.
        """
        order = SpotInterruption(job_name, after_checkpoints, after_log)
        if times < 1:
            raise ValueError(f"times: {times} is too few: expected at least 1")
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(times):
            # Named in the order of their giving, and whole before they have the name that is looked for.
            file = self._folder / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
            file.write_text(json.dumps(asdict(order)), encoding="utf-8")
            file.rename(file.with_suffix(".json"))

    def pending(self) -> list[SpotInterruption]:
        """The orders that have not happened yet: a test that ends with one has not tested what it meant to."""
        return list(self.orders().values())

    def cancel(self) -> int:
        """Take back all orders; returns how many there were."""
        return sum(self.take(file) for file in self.orders())

    def orders(self) -> dict[Path, SpotInterruption]:
        found = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                found[file] = SpotInterruption(**json.loads(file.read_text(encoding="utf-8")))
            except FileNotFoundError:  # another job was first
                continue
        return found

    def take(self, file: Path) -> bool:
        """Whether the order is the caller's to carry out."""
        try:
            file.unlink()
        except FileNotFoundError:
            return False
        return True


class InterruptionWatch:
    """Looks out, during one attempt of a job, for the moment at which it is to be interrupted."""

    def __init__(self, faults: Faults, job_name: str, *, checkpoints: Callable[[], int]) -> None:
        self._faults = faults
        self._job_name = job_name
        self._checkpoints = checkpoints
        self._lock = threading.Lock()
        self._orders: dict[Path, SpotInterruption] = {}
        self._said: set[Path] = set()
        self._look()

    def line(self, text: str) -> None:
        """The job has printed a line."""
        with self._lock:
            self._said.update(
                file for file, order in self._orders.items() if order.after_log and re.search(order.after_log, text)
            )

    def watch(self, stop: threading.Event, *, interval_seconds: float, interrupt: Callable[[], None]) -> None:
        """Call `interrupt` once, when it is time; return then, or when `stop` is set."""
        while not self._is_time():
            if stop.wait(interval_seconds):
                return
            self._look()
        interrupt()

    def _look(self) -> None:
        orders = {
            file: order
            for file, order in self._faults.orders().items()
            if fnmatch.fnmatchcase(self._job_name, order.job_name)
        }
        with self._lock:
            self._orders = orders

    def _is_time(self) -> bool:
        with self._lock:
            ready = [
                file
                for file, order in self._orders.items()
                if self._checkpoints() >= order.after_checkpoints and (order.after_log is None or file in self._said)
            ]
        return any(self._faults.take(file) for file in ready)
