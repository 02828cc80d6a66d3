"""Runs a worker's tasks, each on its own thread, as soon as the supervisor's core budget allows."""

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from scoring.errors import log_error
from scoring.protocol import (
    Event,
    GroupWritten,
    ObjectWritten,
    PartDone,
    PredictPart,
    ScoreGroup,
    ScoreObject,
    Task,
    encode,
    objects_of,
    unforeseen_failure,
)

_MAX_THREADS = 1_024
"""More than the supervisor ever uses; each thread is started when it is first needed."""


class EventPipe:
    """The pipe to the supervisor. Thread-safe."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        line = encode(event)
        with self._lock:
            self._pipe.write(line)
            self._pipe.flush()


class _Engine(Protocol):
    def run_task(self, task: Task) -> ObjectWritten | GroupWritten | PartDone: ...


class TaskRunner:
    """Runs tasks concurrently; a task with `start_after` waits until others are computed."""

    def __init__(self, engine: _Engine, events: EventPipe) -> None:
        self._engine = engine
        self._events = events
        self._lock = threading.Lock()
        self._waiting: deque[ScoreObject | ScoreGroup] = deque()
        self._computed_count = 0
        self._computing: list[Task] = []
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="task")

    def submit(self, task: Task) -> None:
        """Start a task, or queue it until enough tasks have been computed (`start_after`)."""
        with self._lock:
            if isinstance(task, (ScoreObject, ScoreGroup)) and task.start_after > self._computed_count:
                self._waiting.append(task)
            else:
                self._start(task)

    def _start(self, task: Task) -> None:
        self._computing.append(task)
        self._limit_arrow_threads()
        self._threads.submit(self._run, task)

    def _run(self, task: Task) -> None:
        try:
            done = self._engine.run_task(task)
        # An unforeseen error fails only this object; a worker that exits could not report the
        # reason.
        except Exception as error:
            log_error(error)
            done = _failed(task, error)
        try:
            self._events.send(done)
        except BaseException as error:
            # The supervisor would wait for ever; it does see that the process has ended.
            log_error(error)
            os._exit(1)
        self._finish_computing(task)

    def _finish_computing(self, task: Task) -> None:
        """Count a task as computed and start the tasks that waited for it."""
        with self._lock:
            self._computing = [other for other in self._computing if other is not task]
            self._computed_count += 1
            while self._waiting and self._waiting[0].start_after <= self._computed_count:
                self._start(self._waiting.popleft())

    def _limit_arrow_threads(self) -> None:
        """Set the size of Arrow's global thread pool to the most threads of a running task."""
        import pyarrow as pa  # noqa: PLC0415 - late, as all libraries in a worker

        threads = max(task.threads for task in self._computing)
        if pa.cpu_count() != threads:
            pa.set_cpu_count(threads)


def _failed(task: Task, error: Exception) -> ObjectWritten | GroupWritten | PartDone:
    # The folder is not used, because there are no outputs.
    written = [
        ObjectWritten(item.key, "0", 0, 0.0, failures=(unforeseen_failure(item.key, error),))
        for item in objects_of(task)
    ]
    if isinstance(task, ScoreGroup):
        return GroupWritten("0", tuple(written), 0.0)
    if isinstance(task, PredictPart):
        return PartDone(task.object.key, task.part, 0.0, written[0].failures)
    return written[0]
