"""Assigns a shard's objects to workers within a core budget; survives the death of workers."""

import itertools
import selectors
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contract.catalog.model_formats import ModelFormat
from contract.job.scoring_spec import PinnedObject
from scoring.errors import ModelError, ScoringError, error_of_kind, log_error, with_cause
from scoring.fleets.setup import batches_for_members
from scoring.job_log.events import log_event
from scoring.protocol import (
    Event,
    Failure,
    GroupWritten,
    InvalidEventError,
    MergeParts,
    ObjectDone,
    PartDone,
    PredictPart,
    ScoreGroup,
    ScoreObject,
    SetupFailed,
    Task,
    WorkerReady,
    WorkerSetup,
    objects_of,
)
from scoring.separation.file_modes import delete_tree
from scoring.separation.worker_user import WorkerUser
from scoring.supervision.crash_retries import CrashRetries, RetriedTask, give_up
from scoring.supervision.growth import GrowthRule
from scoring.supervision.packing import GroupPacking
from scoring.supervision.split_objects import SplitObjects, can_be_split
from scoring.supervision.worker_process import WorkerProcess, describe_objects, explain_exit, scoring_task

if TYPE_CHECKING:
    # Imported after the first worker has started; see `scoring.job.job`.
    from scoring.commits.object_commits import ObjectCommits

_GROWTH_CHECK_SECONDS = 0.25
_DEATH_CHECK_SECONDS = 1.0
"""Time between two checks for workers that have ended although their pipe is open, in seconds."""
_SMALL_OBJECT_BYTES = 8 << 20
"""Largest object, in bytes, that may be queued in a busy worker and is then scored on one
thread."""
_MAX_COMMITTING_BYTES = 256 << 20
"""Limit per worker, in bytes, on objects that are being committed. Each takes twice its size on
disk."""


class Supervisor:
    """Dispatches objects, largest first. Use as a context manager: all workers end with it.

    `cores` is the budget of all workers together. `workers` is their fixed number; None lets it
    follow the work (see GrowthRule). Each worker has a folder below `scratch`, and runs as `user`.
    """

    def __init__(
        self,
        formats: Sequence[ModelFormat],
        cores: int,
        workers: int | None = None,
        *,
        scratch: Path,
        user: WorkerUser | None = None,
    ) -> None:
        self._formats = tuple(dict.fromkeys(formats))
        self._cores = cores
        self._growth = GrowthRule(cores, workers)
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._setup: WorkerSetup | None = None
        self._queue: list[PinnedObject] = []
        self._part_tasks: list[PredictPart | MergeParts] = []
        """Tasks of split objects; dispatched before the queue."""
        self._split_objects = SplitObjects(0)
        self._retries = CrashRetries(0)
        self._batch_rows = 0
        self._packing = GroupPacking(0)
        self._done: list[ObjectDone] = []
        self._scratch = scratch
        self._user = user
        self._numbers = itertools.count()

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
        """Start a worker, which imports its libraries in the background."""
        number = next(self._numbers)
        worker = WorkerProcess(self._formats, self._scratch / f"worker-{number}", self._user, number=number)
        self._workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ, worker)
        if self._setup is not None:
            self._send_setup(worker, self._setup)

    def _send_setup(self, worker: WorkerProcess, setup: WorkerSetup) -> None:
        worker.models = tuple(model.model_id for model in setup.models)
        if setup.fleet is not None:
            worker.members = frozenset(member.model_id for member in setup.fleet.members)
        worker.send(replace(setup, scratch=str(worker.folder)))

    def score(
        self,
        setup: WorkerSetup,
        objects: Sequence[PinnedObject],
        commits: "ObjectCommits",
        on_done: Callable[[ObjectDone], None],
    ) -> list[ObjectDone]:
        """Score and commit all objects, and return how each ended; `on_done` is called for each at once.

        Raises ScoringError when no worker can load the models, or when workers keep dying.
        """
        self._setup = setup
        self._data = Path(setup.data)
        self._split_objects = SplitObjects(len(setup.models))
        self._retries = CrashRetries(setup.batch_rows)
        self._batch_rows = setup.batch_rows
        self._packing = GroupPacking(
            len(setup.models), batches_for_members(len(setup.fleet.members)) if setup.fleet else 1
        )
        self._queue = list(objects)
        for worker in self._workers:
            self._send_setup(worker, setup)
        self._selector.register(commits, selectors.EVENT_READ, commits)
        self._growth.plan(sum(item.size for item in objects))
        self._start_initial_workers()
        while self._has_work() or commits.pending:
            self._grow()
            may_grow = (self._queue or self._part_tasks) and self._growth.fixed is None
            ended: list[ObjectDone] = []
            for key, _ in self._selector.select(_GROWTH_CHECK_SECONDS if may_grow else _DEATH_CHECK_SECONDS):
                ended += self._end_commits(commits) if key.data is commits else self._handle_events(key.data, commits)
            for worker in [worker for worker in self._workers if worker.has_ended_with_open_pipe()]:
                ended += self._handle_death(worker)
            for done in ended:
                self._done.append(done)
                on_done(done)
            self._dispatch()
            is_idle = not commits.pending and not any(worker.computing for worker in self._workers)
            commits.write_due(is_idle=is_idle)
        return self._done

    def _has_work(self) -> bool:
        """Return whether an object is not yet written by a worker."""
        waiting = self._queue or self._part_tasks or self._retries.pending
        return bool(waiting) or any(worker.computing for worker in self._workers)

    # Growth: starting workers.

    def _start_initial_workers(self) -> None:
        for _ in range(len(self._workers), self._growth.initial_workers(self._open_tasks())):
            self.start_worker()

    def _open_tasks(self) -> int:
        """Return the number of queued and computing tasks."""
        computing = sum(len(worker.computing) for worker in self._workers)
        return len(self._queue) + len(self._part_tasks) + computing

    def _grow(self) -> None:
        """Start more workers if the remaining work takes longer than starting them."""
        if not self._has_work():
            return
        if not self._workers:
            self.start_worker()
        if self._growth.fixed is not None or not (self._queue or self._part_tasks):
            return
        # While a retry runs alone, another worker would take memory that the retry may need.
        if self._retry_is_running():
            return
        bytes_left = sum(item.size for item in self._queue) + sum(map(_work_bytes, self._part_tasks))
        if self._growth.should_grow(bytes_left):
            for _ in range(len(self._workers), self._growth.max_workers(self._open_tasks())):
                self.start_worker()

    # Dispatch: assigning tasks to workers.

    def _dispatch(self) -> None:
        retries_first = self._retry_is_running() or self._retries.urgent
        while (self._queue or self._part_tasks) and not retries_first:
            free = self._cores - sum(task.threads for worker in self._workers for task in worker.computing)
            worker = self._least_busy_worker()
            if worker is None or free <= 0:
                break
            if self._part_tasks:
                self._start_task(worker, self._part_tasks.pop(0))
                continue
            if self._packing.next_group(self._queue, self._cores) > 1:
                self._start_task(worker, scoring_task(self._take_next_group()))
                continue
            cores, item = self._cores_for_next_object(free), self._queue.pop(0)
            if not self._growth.threads_help and cores > 1 and can_be_split(item, self._data / item.key):
                self._part_tasks += self._split_objects.split(item, cores)
                continue
            self._start_task(worker, ScoreObject(item, cores if self._growth.threads_help else 1))
        if not retries_first:
            self._queue_in_busy_workers()
        ready = [worker for worker in self._workers if worker.ready]
        if self._retries.pending and ready and not any(worker.computing for worker in ready):
            # Run the retry alone: it may need the memory that the other workers hold.
            for worker in [other for other in self._workers if other is not ready[-1]]:
                self._stop_worker(worker)
            self._start_task(ready[-1], self._retries.pending.pop(0))

    def _retry_is_running(self) -> bool:
        """Return whether a crashed task is being retried; no other task may run and die with it."""
        return any(task.batch_rows for worker in self._workers for task in worker.computing)

    def _least_busy_worker(self) -> WorkerProcess | None:
        """Return the ready worker with the fewest computing tasks, or None if none has room."""
        limit = self._growth.tasks_per_worker()
        able = [worker for worker in self._workers if worker.ready and len(worker.computing) < limit]
        able = [worker for worker in able if worker.committing_bytes <= _MAX_COMMITTING_BYTES]
        return min(able, key=lambda worker: len(worker.computing), default=None)

    def _queue_in_busy_workers(self) -> None:
        """Send small objects to busy workers ahead of time, to save a round trip per object."""
        for worker in self._workers:
            while (
                len(worker.waiting) < len(worker.computing)
                and self._queue
                and self._queue[0].size <= _SMALL_OBJECT_BYTES
                and worker.committing_bytes <= _MAX_COMMITTING_BYTES
            ):
                worker.start_later(self._take_next_group())

    def _take_next_group(self) -> list[PinnedObject]:
        """Remove the objects to score next from the queue: a large one, or several small ones."""
        count = self._packing.next_group(self._queue, self._cores)
        objects, self._queue = self._queue[:count], self._queue[count:]
        return objects

    def _cores_for_next_object(self, free: int) -> int:
        """Return the cores for the next object: its threads or, if these do not help, its parts."""
        item = self._queue[0]
        left = sum(other.size for other in self._queue)
        # The object's share of the remaining work, or more if the other queued objects cannot use
        # the free cores. Each queued object keeps a core even before it has a worker: one may be
        # starting.
        share = round(self._cores * item.size / left) if left else 1
        return max(1, min(free, max(share, free // len(self._queue))))

    def _start_task(self, worker: WorkerProcess, task: Task) -> None:
        worker.start(task)
        self._growth.record_dispatch()

    # Events from workers.

    def _handle_events(self, worker: WorkerProcess, commits: "ObjectCommits") -> list[ObjectDone]:
        """Handle the messages of one worker, or its death. Returns the objects that ended."""
        if worker not in self._workers:
            return []
        ended: list[ObjectDone] = []
        try:
            events = worker.receive()
            if events is None:
                return self._handle_death(worker)
            for event in events:
                ended += self._handle_event(worker, event, commits)
        except InvalidEventError as error:
            ended += self._handle_invalid_event(worker, error)
        return ended

    def _handle_event(self, worker: WorkerProcess, event: Event, commits: "ObjectCommits") -> list[ObjectDone]:
        """Handle one message. Raises InvalidEventError when the worker may not send it now."""
        if isinstance(event, (WorkerReady, SetupFailed)):
            if worker.ready:
                raise InvalidEventError("it says again that the models are loaded")
            if isinstance(event, SetupFailed):
                raise error_of_kind(event.kind, event.text)
            worker.ready = True
            self._growth.record_ready(event.seconds, threads_help=event.threads_help)
            commits.record_loads(event.load_seconds)
            self._start_initial_workers()
            return []
        task = worker.record_end(event)
        self._growth.bytes_done += _work_bytes(task)
        self._retries.record_success()
        if isinstance(event, PartDone):
            return self._handle_part(event)
        worker.committing += objects_of(task)
        if isinstance(event, GroupWritten):
            assert isinstance(task, ScoreGroup)  # noqa: S101 - see record_end
            self._packing.record(task.objects, event.seconds)
            commits.start_group(task, event, worker.folder)
            return []
        assert isinstance(task, (ScoreObject, MergeParts))  # noqa: S101 - see record_end
        commits.start(task, event, worker.folder)
        return []

    def _end_commits(self, commits: "ObjectCommits") -> list[ObjectDone]:
        """Return the objects whose commit has ended."""
        ended = []
        for done, folder in commits.ended():
            # The worker may have died since.
            for worker in self._workers:
                if worker.folder == folder:
                    worker.committing = [item for item in worker.committing if item.key != done.key]
            ended.append(self._split_objects.finish_object(done))
        return ended

    def _handle_part(self, done: PartDone) -> list[ObjectDone]:
        """Return the object that ended with this part, if any."""
        next_step = self._split_objects.finish_part(done)
        if isinstance(next_step, MergeParts):
            self._part_tasks.insert(0, next_step)
        elif next_step is not None:
            self._drop_tasks(done.key)
            return [next_step]
        return []

    def _drop_tasks(self, key: str) -> None:
        """Drop the queued parts and retries of an object that has ended."""
        self._part_tasks = [task for task in self._part_tasks if task.object.key != key]
        self._retries.drop(key)

    def _stop_worker(self, worker: WorkerProcess) -> None:
        """Take a worker out of service and wait for its end."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        worker.kill()
        worker.reap()
        delete_tree(worker.folder)

    def _handle_invalid_event(self, worker: WorkerProcess, invalid: InvalidEventError) -> list[ObjectDone]:
        """End a worker that has sent an invalid message, and fail the objects that it is scoring.

        There is no retry: the code of a model has written to the worker's pipe.
        """
        tasks, waiting = worker.computing, worker.waiting
        doing = f"scoring {describe_objects(tasks)}" if tasks else "loading the models"
        error = ModelError(
            f"a worker sent an invalid message while {doing} ({invalid}): code in an artifact must not write to the "
            "descriptors of its process, register a version that does not"
        )
        log_error(with_cause(error, invalid))
        self._stop_worker(worker)
        self._queue[:0] = [item for task in waiting for item in objects_of(task)]
        self._retries.record_loss(error)
        failure = Failure("", error.kind, error.text)
        # Several parts of one object may have been computed.
        ended = dict.fromkeys(item.key for task in tasks for item in objects_of(task))
        for key in ended:
            self._drop_tasks(key)
        return [self._split_objects.finish_object(ObjectDone(key, 0, 0.0, (failure,))) for key in ended]

    def _handle_death(self, worker: WorkerProcess) -> list[ObjectDone]:
        """Retry what a dead worker had started, and requeue its waiting objects."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        tasks = worker.computing
        code, called = worker.reap(), worker.called_models
        error = explain_exit(code, tasks, called if called != worker.models else ())
        rows = {"batch_rows": min(task.batch_rows for task in tasks) or self._batch_rows} if tasks else {}
        log_event("worker_died", exit_code=code, reason=error.text, **worker.doing(called), **rows)
        delete_tree(worker.folder)
        self._queue[:0] = [item for task in worker.waiting for item in objects_of(task)]
        if not tasks:
            if not worker.ready and not any(other.ready for other in self._workers):
                raise error
            self._retries.record_loss(error)
            # The other workers have loaded the same models, so one more did not fit in memory.
            self._growth.limit_alive(len(self._workers))
            return []
        self._retries.record_crash()
        # Any of the tasks may be the cause, so each of them is retried alone.
        alone = [one for task in tasks for one in _each_object(task)]
        return [ended for task in reversed(alone) for ended in self._retry(task, error)]

    def _retry(self, task: RetriedTask, error: ScoringError) -> list[ObjectDone]:
        """Queue the retry of a crashed task, or return its object's end after the last try."""
        if self._retries.retry(task):
            return []
        self._retries.record_loss(error)
        self._drop_tasks(task.object.key)
        return [self._split_objects.finish_object(ObjectDone(task.object.key, 0, 0.0, (give_up(task, error),)))]


def _each_object(task: Task) -> list[RetriedTask]:
    """Return a task per object, because any object of a group may be the cause of a crash."""
    return [ScoreObject(item, 1) for item in task.objects] if isinstance(task, ScoreGroup) else [task]


def _work_bytes(task: Task) -> int:
    """Return the bytes that a task predicts; merging predicted parts is negligible."""
    if isinstance(task, PredictPart):
        return task.object.size // task.parts
    return 0 if isinstance(task, MergeParts) else sum(item.size for item in objects_of(task))
