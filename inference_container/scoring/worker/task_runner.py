"""A worker's tasks in hand: each has a thread of its own, and begins as soon as the supervisor's budget lets it."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from contract.status import FailureKind
from scoring.errors import log_error, one_line
from scoring.protocol import Event, Failure, ObjectDone, PartDone, Predicted, ScoreObject, ScorePart, Task, encode

_MOST_THREADS = 1_024
"""More than the supervisor ever gives; each is started when it is needed first."""


class Events:
    """The pipe to the supervisor, for several threads."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        line = encode(event)
        with self._lock:
            self._pipe.write(line)
            self._pipe.flush()


class _Engine(Protocol):
    def carry_out(self, task: Task, predicted: Callable[[], None]) -> ObjectDone | PartDone: ...


class Desk:
    """Tasks that are carried out beside each other, and those that wait until others have computed."""

    def __init__(self, engine: _Engine, events: Events) -> None:
        self._engine = engine
        self._events = events
        self._lock = threading.Lock()
        self._waiting: deque[ScoreObject] = deque()
        self._computed = 0
        self._computing: list[Task] = []
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="task")

    def take(self, task: Task) -> None:
        with self._lock:
            if isinstance(task, ScoreObject) and task.after > self._computed:
                self._waiting.append(task)
            else:
                self._begin(task)

    def _begin(self, task: Task) -> None:
        self._computing.append(task)
        self._limit_arrow()
        self._threads.submit(self._carry_out, task)

    def _carry_out(self, task: Task) -> None:
        told = False

        def predicted() -> None:
            nonlocal told
            told = True
            self._events.send(Predicted(task.object.key))
            self._has_computed(task)

        try:
            done = self._engine.carry_out(task, predicted)
        # Whatever nobody foresaw fails this object only; a worker that ends would say nothing of the reason.
        except Exception as error:
            log_error(error)
            done = _failed(task, error)
        self._events.send(done)
        if not told:
            self._has_computed(task)

    def _has_computed(self, task: Task) -> None:
        with self._lock:
            self._computing = [other for other in self._computing if other is not task]
            self._computed += 1
            while self._waiting and self._waiting[0].after <= self._computed:
                self._begin(self._waiting.popleft())

    def _limit_arrow(self) -> None:
        """Arrow has one pool of threads for all; it helps only tasks that have several."""
        import pyarrow as pa  # noqa: PLC0415 - late, as all libraries in a worker

        threads = max(task.threads for task in self._computing)
        if pa.cpu_count() != threads:
            pa.set_cpu_count(threads)


def _failed(task: Task, error: Exception) -> ObjectDone | PartDone:
    key = task.object.key
    failures = (Failure("", FailureKind.UNKNOWN, f"object {key!r}: {one_line(error)}"),)
    if isinstance(task, ScorePart):
        return PartDone(key, task.part, 0.0, failures)
    return ObjectDone(key, 0, 0.0, failures)
