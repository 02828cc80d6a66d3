"""How many instances run at once on this machine."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiting:
    places: int
    start: Callable[[], None]


class Capacity:
    """Places for instances, given to jobs in the order in which they came, all that a job needs at once.

    First come, first served without overtaking: a wide job is never starved by narrow ones, and two wide jobs can
    never each hold a half. A job wider than the machine takes all places.
    """

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError(f"max_running_instances: {places} is too few: expected at least 1")
        self._places = places
        self._free = places
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._lock = threading.Lock()

    def submit(self, instances: int, start: Callable[[], None]) -> Callable[[], bool]:
        """Call `start` as soon as there is room, which `release(instances)` must give back.

        Returns a function that withdraws the job; it answers False once `start` has been or is being called.
        """
        ticket = _Waiting(min(instances, self._places), start)
        with self._lock:
            self._waiting.append(ticket)
        self._start_next()

        def withdraw() -> bool:
            with self._lock:
                if ticket not in self._waiting:
                    return False
                self._waiting.remove(ticket)
            self._start_next()
            return True

        return withdraw

    def release(self, instances: int) -> None:
        with self._lock:
            self._free += min(instances, self._places)
        self._start_next()

    def _start_next(self) -> None:
        ready = []
        with self._lock:
            while self._waiting and self._waiting[0].places <= self._free:
                ticket = self._waiting.popleft()
                self._free -= ticket.places
                ready.append(ticket)
        for ticket in ready:
            ticket.start()
