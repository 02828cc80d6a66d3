"""Functions that are called periodically while a job runs."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_EARLY = 0.2
"""Share of its interval by which a function may be called early, together with another that is due."""
_LINGER_SECONDS = 5.0
"""How long the thread waits for new functions before it ends."""


class _Entry:
    def __init__(self, call: Callable[[], float]) -> None:
        self.call = call
        self.lock = threading.Lock()
        self.is_stopped = False
        self.early_seconds = 0.0


class PeriodicCalls:
    """Calls the functions of all jobs in one thread. They must not block for long."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, _Entry]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_running = False
        self._is_awake = False

    def start(self, call: Callable[[], float], seconds: float) -> Callable[[], None]:
        """Call a function for the first time after some seconds. It returns the seconds until its next call.

        Returns:
            A function that ends the calls, and waits for one that is running.
        """
        entry = _Entry(call)
        with self._changed:
            self._add(entry, seconds)
            if self._is_running:
                self._changed.notify()
            else:
                self._is_running = True
                threading.Thread(target=self._run, name="periodic-calls", daemon=True).start()

        def stop() -> None:
            with entry.lock:
                entry.is_stopped = True

        return stop

    def _add(self, entry: _Entry, seconds: float) -> None:
        entry.early_seconds = _EARLY * seconds
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), entry))

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            with entry.lock:
                if entry.is_stopped:
                    continue
                try:
                    seconds = entry.call()
                except Exception:
                    logger.exception("the embedded AWS could not watch a job")
                    continue
            with self._changed:
                self._add(entry, seconds)

    def _next(self) -> _Entry | None:
        """Wait for the next function that is due; None if there has been none for a while."""
        with self._changed:
            while True:
                while self._due and self._due[0][2].is_stopped:
                    heapq.heappop(self._due)
                wait = self._due[0][0] - time.monotonic() if self._due else _LINGER_SECONDS
                if wait <= (self._due[0][2].early_seconds if self._is_awake and self._due else 0):
                    self._is_awake = True
                    return heapq.heappop(self._due)[2]
                self._is_awake = False
                if not self._changed.wait(wait) and not self._due:
                    self._is_running = False
                    return None
