"""The growth rule: how many workers a shard gets, and when to start more."""

import math
import time

_BYTES_PER_INITIAL_WORKER = 64 << 20
"""Data per worker that justifies several workers from the start, in bytes."""
_TASKS_PER_WORKER = 2
"""Objects that the threads of one worker score concurrently. With more, threads would wait for
Python's lock; with one, each core would need another process with its own copy of the libraries in
memory."""


class GrowthRule:
    """Decides the number of workers within a budget of cores.

    With `fixed` None the number follows the work. It starts at one, or more for a large shard, and
    grows when the remaining work takes longer than starting a worker. The limit is one worker per
    two cores, or one per core if threads do not help.
    """

    def __init__(self, cores: int, fixed: int | None) -> None:
        self.fixed = fixed
        self.bytes_done = 0
        self._cores = cores
        self._initial = 1
        self._max_alive = cores
        self._threads_help = True
        self._startup_seconds = 1.0
        self._first_dispatch: float | None = None

    def plan(self, shard_bytes: int) -> None:
        """Set the initial number of workers by the size of the shard."""
        self._initial = self.fixed or 1 + shard_bytes // _BYTES_PER_INITIAL_WORKER

    def record_ready(self, startup_seconds: float, *, threads_help: bool) -> None:
        self._startup_seconds = startup_seconds
        self._threads_help = threads_help

    def record_dispatch(self) -> None:
        """Start the clock at the first task."""
        if self._first_dispatch is None:
            self._first_dispatch = time.monotonic()

    def limit_alive(self, workers: int) -> None:
        """Allow at most this many workers, because another one did not fit in memory."""
        self._max_alive = max(1, workers)

    @property
    def threads_help(self) -> bool:
        """Whether several threads of one worker score faster than one."""
        return self._threads_help

    def tasks_per_worker(self) -> int:
        """Return how many tasks one worker may compute concurrently."""
        return math.ceil(self._cores / self._workers_for_all_cores()) if self._threads_help else 1

    def initial_workers(self, open_tasks: int) -> int:
        return min(self._initial, self.max_workers(open_tasks))

    def max_workers(self, open_tasks: int) -> int:
        """Return the largest useful number of workers for this many queued and running tasks."""
        return max(1, min(self._workers_for_all_cores(), open_tasks, self._max_alive))

    def should_grow(self, bytes_left: int) -> bool:
        """Return whether the queued work takes longer than starting another worker."""
        if self._first_dispatch is None:
            return False
        elapsed = time.monotonic() - self._first_dispatch
        seconds_left = elapsed * bytes_left / self.bytes_done if self.bytes_done else math.inf
        return elapsed > self._startup_seconds and seconds_left > 2 * self._startup_seconds

    def _workers_for_all_cores(self) -> int:
        return self.fixed or (math.ceil(self._cores / _TASKS_PER_WORKER) if self._threads_help else self._cores)
