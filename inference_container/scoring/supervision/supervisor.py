"""Shares a shard's objects out to workers, within one budget of cores, and survives the death of any of them."""

import math
import selectors
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from contract.catalog.model_formats import ModelFormat
from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.errors import ScoringError, error_of_kind
from scoring.protocol import (
    Failure,
    JoinParts,
    ObjectDone,
    PartDone,
    Predicted,
    ScoreObject,
    ScorePart,
    SetupFailed,
    Task,
    WorkerReady,
    WorkerSetup,
    worker_scratch,
)
from scoring.supervision.split_objects import SharedObjects, can_be_shared
from scoring.supervision.worker_process import WorkerProcess, why_it_died

_BYTES_FOR_ANOTHER_WORKER = 64 << 20
"""A shard with this much data for each worker is worth several from the start; otherwise time tells."""
_TRIES_OF_AN_OBJECT = 3
_FEWER_ROWS = 8
"""Batches of an object that took its worker down are so many times smaller each time it is tried again."""
_FEWEST_ROWS = 256
_MOST_LOST_IN_A_ROW = 3
"""Objects given up with none scored in between: then it is not the objects, and the rest would only take time."""
_DEATHS_BEFORE_CARE = 3
"""Deaths without an object scored in between, after which units are tried again before any new one is begun."""
_GROWTH_CHECK_SECONDS = 0.25
_AT_ONCE = 2
"""Objects that a worker's threads score beside each other: more would wait for Python's lock, one at a time would need
another process, and the libraries in memory once more, for each core."""
_SMALL_BYTES = 8 << 20
"""An object of at most so many is scored on one thread, and may be given to a worker ahead of time."""
_MOST_COMMITTING_BYTES = 256 << 20
"""Of the objects whose outputs wait for the disk in one worker: they take its room twice."""


class Supervisor:
    """Dispatches objects, largest first. Use as a context manager: no worker outlives it.

    `cores` is what all workers together may use. With `workers` None their number follows the work: one, more when
    the shard is large or turns out to take longer than starting another, until there is one for every two cores, or
    for each core where threads do not help; a number given is used as it is.
    """

    def __init__(self, formats: Sequence[ModelFormat], cores: int, workers: int | None = None) -> None:
        self._formats = tuple(dict.fromkeys(formats))
        self._cores = cores
        self._fixed = workers
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._setup: WorkerSetup | None = None
        self._queue: list[PinnedObject] = []
        self._parts: list[ScorePart | JoinParts] = []
        """Of objects that are shared; they go before the queue."""
        self._shared = SharedObjects(0)
        self._again: list[Task] = []
        """Units that took their worker down; tried again when nothing else is left to do."""
        self._deaths: dict[tuple[str, str], int] = {}
        self._done: list[ObjectDone] = []
        self._lost_in_a_row = 0
        self._deaths_in_a_row = 0
        self._most_alive = cores
        self._wanted = 1
        self._threads_help = True
        self._startup_seconds = 1.0
        self._first_dispatch: float | None = None
        self._bytes_done = 0

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.reap()
        self._workers.clear()
        self._selector.close()

    def start_worker(self) -> None:
        """Start a worker; it imports its libraries while the caller goes on."""
        worker = WorkerProcess(self._formats)
        self._workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ, worker)
        if self._setup is not None:
            worker.send(self._setup)

    def score(
        self, setup: WorkerSetup, objects: Sequence[PinnedObject], on_done: Callable[[ObjectDone], None]
    ) -> list[ObjectDone]:
        """Score all objects and return how each ended; `on_done` hears of each at once.

        Raises ScoringError when no worker can load the models, or when workers keep dying.
        """
        self._setup = setup
        self._shared = SharedObjects(len(setup.models))
        self._queue = list(objects)
        for worker in self._workers:
            worker.send(setup)
        self._wanted = self._fixed or 1 + sum(item.size for item in objects) // _BYTES_FOR_ANOTHER_WORKER
        self._start_enough()
        while self._queue or self._parts or self._again or any(worker.in_hand for worker in self._workers):
            self._grow()
            timeout = _GROWTH_CHECK_SECONDS if (self._queue or self._parts) and self._fixed is None else None
            for key, _ in self._selector.select(timeout):
                for done in self._hear(key.data):
                    self._done.append(done)
                    on_done(done)
            self._dispatch()
        return self._done

    def _start_enough(self) -> None:
        """Start as many workers as the work is known to be worth."""
        for _ in range(len(self._workers), min(self._wanted, self._most_workers())):
            self.start_worker()

    def _at_once(self) -> int:
        """How many tasks a worker may compute beside each other."""
        return math.ceil(self._cores / self._enough_workers()) if self._threads_help else 1

    def _enough_workers(self) -> int:
        return self._fixed or (math.ceil(self._cores / _AT_ONCE) if self._threads_help else self._cores)

    def _most_workers(self) -> int:
        busy = sum(len(worker.computing) for worker in self._workers)
        most = len(self._queue) + len(self._parts) + busy
        return max(1, min(self._enough_workers(), most, self._most_alive))

    def _grow(self) -> None:
        """Start more workers once the work that is left takes longer than starting them."""
        if not self._workers:
            self.start_worker()
        if self._fixed is not None or self._first_dispatch is None or not (self._queue or self._parts):
            return
        if self._one_is_alone():
            # Another one would take memory that this one may lack.
            return
        elapsed = time.monotonic() - self._first_dispatch
        left = sum(item.size for item in self._queue) + sum(map(_bytes_of, self._parts))
        seconds_left = elapsed * left / self._bytes_done if self._bytes_done else math.inf
        if elapsed > self._startup_seconds and seconds_left > 2 * self._startup_seconds:
            for _ in range(len(self._workers), self._most_workers()):
                self.start_worker()

    def _dispatch(self) -> None:
        careful = self._one_is_alone() or (bool(self._again) and self._deaths_in_a_row >= _DEATHS_BEFORE_CARE)
        while (self._queue or self._parts) and not careful:
            free = self._cores - sum(task.threads for worker in self._workers for task in worker.computing)
            worker = self._least_busy()
            if worker is None or free <= 0:
                break
            if self._parts:
                self._give(worker, self._parts.pop(0))
                continue
            share, item = self._share(free), self._queue.pop(0)
            if not self._threads_help and share > 1 and can_be_shared(item):
                self._parts += self._shared.share(item, share)
                continue
            self._give(worker, ScoreObject(item, share if self._threads_help else 1))
        if not careful:
            self._give_ahead()
        ready = [worker for worker in self._workers if worker.ready]
        if self._again and ready and not any(worker.in_hand for worker in ready):
            # Alone: whatever memory the others have is what this one may have lacked.
            for worker in [other for other in self._workers if other is not ready[-1]]:
                self._dismiss(worker)
            self._give(ready[-1], self._again.pop(0))

    def _one_is_alone(self) -> bool:
        """Whether a unit is tried again that took its worker down: nothing else may be there to die with it."""
        return any(task.batch_rows for worker in self._workers for task in worker.in_hand)

    def _least_busy(self) -> WorkerProcess | None:
        """The ready worker that computes least, if it may begin another task."""
        able = [worker for worker in self._workers if worker.ready and len(worker.computing) < self._at_once()]
        able = [worker for worker in able if _bytes_committing(worker) <= _MOST_COMMITTING_BYTES]
        return min(able, key=lambda worker: len(worker.computing), default=None)

    def _give_ahead(self) -> None:
        """Busy workers get small objects before they need them: a word from us would come late for each of them."""
        for worker in self._workers:
            while (
                len(worker.waiting) < len(worker.computing)
                and self._queue
                and self._queue[0].size <= _SMALL_BYTES
                and _bytes_committing(worker) <= _MOST_COMMITTING_BYTES
            ):
                worker.begin_later(self._queue.pop(0))

    def _share(self, free: int) -> int:
        """Cores for the object that is next: so many threads or, where these do not help, parts."""
        item = self._queue[0]
        left = sum(other.size for other in self._queue)
        # By its part of the work that is left, and at least what the other objects in the queue cannot use. A core
        # for each of those stays free even while no worker is there for it: one may be about to start.
        part = round(self._cores * item.size / left) if left else 1
        return max(1, min(free, max(part, free // len(self._queue))))

    def _give(self, worker: WorkerProcess, task: Task) -> None:
        worker.begin(task)
        if self._first_dispatch is None:
            self._first_dispatch = time.monotonic()

    def _hear(self, worker: WorkerProcess) -> list[ObjectDone]:
        if worker not in self._workers:
            return []
        messages = worker.receive()
        if messages is None:
            return self._bury(worker)
        ended = []
        for message in messages:
            if isinstance(message, WorkerReady):
                worker.ready = True
                self._startup_seconds = message.seconds
                self._threads_help = message.threads_help
                self._start_enough()
            elif isinstance(message, SetupFailed):
                raise error_of_kind(message.kind, message.text)
            elif isinstance(message, Predicted):
                worker.predicted(message.key)
            elif isinstance(message, (ObjectDone, PartDone)):
                self._bytes_done += _bytes_of(worker.ended(message.key))
                self._lost_in_a_row = self._deaths_in_a_row = 0
                ended += self._note(message)
        return ended

    def _note(self, done: ObjectDone | PartDone) -> list[ObjectDone]:
        """The end of an object, if this is one."""
        if isinstance(done, ObjectDone):
            return [self._shared.end(done)]
        next_step = self._shared.part_done(done)
        if isinstance(next_step, JoinParts):
            self._parts.insert(0, next_step)
        elif next_step is not None:
            self._forget_parts(done.key)
            return [next_step]
        return []

    def _forget_parts(self, key: str) -> None:
        """Nothing that is still to be done for this object is of use."""
        self._parts = [task for task in self._parts if task.object.key != key]
        self._again = [task for task in self._again if task.object.key != key]

    def _dismiss(self, worker: WorkerProcess) -> int:
        """Take a worker out of service and wait for its end; its exit code."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        worker.kill()
        code = worker.reap()
        self._clear_after(worker)
        return code

    def _clear_after(self, worker: WorkerProcess) -> None:
        """Remove what a dead worker left half written: the disk has room for the objects in hand, not for all tries."""
        if self._setup is not None:
            shutil.rmtree(worker_scratch(self._setup, worker.pid), ignore_errors=True)

    def _bury(self, worker: WorkerProcess) -> list[ObjectDone]:
        """A worker died: its object is tried again alone, the others are scored by whoever is left or by a new one."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        tasks = worker.in_hand
        error = why_it_died(worker.reap(), tasks)
        self._clear_after(worker)
        self._queue[:0] = [task.object for task in worker.waiting]
        if not tasks:
            self._lost_in_a_row += 1
            alone = not worker.ready and not any(other.ready for other in self._workers)
            if alone or self._lost_in_a_row >= _MOST_LOST_IN_A_ROW:
                raise error
            # The others have loaded the same models: there was no room for one more.
            self._most_alive = max(1, len(self._workers))
            return []
        self._deaths_in_a_row += 1
        # Any of them may have been the reason; from now on each is tried alone.
        return [ended for task in reversed(tasks) for ended in self._try_again(task, error)]

    def _try_again(self, task: Task, error: ScoringError) -> list[ObjectDone]:
        """Note that a task has taken its worker down; the end of its object if that was once too often."""
        unit = (task.object.key, f"part {task.part}" if isinstance(task, ScorePart) else type(task).__name__)
        tries = self._deaths[unit] = self._deaths.get(unit, 0) + 1
        if tries < _TRIES_OF_AN_OBJECT:
            self._again.insert(0, self._smaller(task))
            return []
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= _MOST_LOST_IN_A_ROW:
            raise error
        self._forget_parts(task.object.key)
        return [self._shared.end(ObjectDone(task.object.key, 0, 0.0, (self._given_up(task, error),)))]

    def _smaller(self, task: Task) -> Task:
        assert self._setup is not None  # noqa: S101 - no task without it
        rows = task.batch_rows or self._setup.batch_rows
        smaller = replace(task, threads=1, batch_rows=min(rows, max(_FEWEST_ROWS, rows // _FEWER_ROWS)))
        return replace(smaller, after=0) if isinstance(smaller, ScoreObject) else smaller

    def _given_up(self, task: Task, error: ScoringError) -> Failure:
        text = f"{error.text}; it was tried {_TRIES_OF_AN_OBJECT} times, at last alone and with batches of "
        return Failure("", FailureKind(error.kind), f"{text}{task.batch_rows:,} rows")


def _bytes_committing(worker: WorkerProcess) -> int:
    return sum(task.object.size for task in worker.committing)


def _bytes_of(task: Task) -> int:
    """Of the work in a task; what is left when all parts are predicted is little."""
    if isinstance(task, ScorePart):
        return task.object.size // task.parts
    return 0 if isinstance(task, JoinParts) else task.object.size
