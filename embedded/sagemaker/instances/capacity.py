"""This machine's share of each instance: slots to run in, and processor cores."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiting:
    slots: int
    start: Callable[[], None]


class Capacity:
    """A pool of slots for instances. Jobs get all of their slots at once, in order of arrival.

    The order keeps small jobs from starving a large one. Getting all slots at once prevents a
    deadlock of two jobs that each hold half of their slots. A job with more instances than slots
    takes all slots.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"max_running_instances: {slots} is too few: expected at least 1")
        self._slots = slots
        self._free = slots
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._lock = threading.Lock()

    def submit(self, instances: int, start: Callable[[], None]) -> Callable[[], bool]:
        """Call `start` as soon as enough slots are free. `release(instances)` must free them again.

        Returns:
            A function that withdraws the job. It returns False if `start` has already been called.
        """
        ticket = _Waiting(min(instances, self._slots), start)
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
        """Free the slots of an ended job."""
        with self._lock:
            self._free += min(instances, self._slots)
        self._start_next()

    def _start_next(self) -> None:
        ready = []
        with self._lock:
            while self._waiting and self._waiting[0].slots <= self._free:
                ticket = self._waiting.popleft()
                self._free -= ticket.slots
                ready.append(ticket)
        for ticket in ready:
            ticket.start()


class Cores:
    """Lends cores to instances, those with the fewest users first.

    Args:
        numbers: Numbers of the cores; None means those that this process may use.
    """

    def __init__(self, numbers: list[int] | None = None) -> None:
        found = sorted(os.sched_getaffinity(0)) if numbers is None and hasattr(os, "sched_getaffinity") else numbers
        self._users = dict.fromkeys(found or [], 0)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lent(self, count: int | None) -> Iterator[list[int]]:
        """Lend this many cores for the duration of the block: an empty list if that is all of them, or for None."""
        if count is None or count >= len(self._users):
            yield []
            return
        with self._lock:
            lent = sorted(self._users, key=self._users.__getitem__)[:count]
            for number in lent:
                self._users[number] += 1
        try:
            yield lent
        finally:
            with self._lock:
                for number in lent:
                    self._users[number] -= 1
