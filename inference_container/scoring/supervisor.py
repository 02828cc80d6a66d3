"""Shares a shard's objects out to workers, within one budget of cores, and survives the death of any of them."""

import contextlib
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from contract.spec import ModelFormat, PinnedObject
from contract.status import FailureKind
from scoring.errors import ModelError, ScoringError, TransientError, error_of_kind
from scoring.protocol import (
    Failure,
    Message,
    ObjectDone,
    ScoreObject,
    SetupFailed,
    WorkerReady,
    WorkerSetup,
    decode,
    encode,
)

_BYTES_FOR_ANOTHER_WORKER = 64 << 20
"""A shard with this much data for each worker is worth several from the start; otherwise time tells."""
_MOST_DEATHS = 3
_SECONDS_TO_DIE = 30
_GROWTH_CHECK_SECONDS = 0.25
_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerDiedError(TransientError):
    """A worker process ended without a word."""


class WorkerProcess:
    """One worker and its two pipes."""

    def __init__(self, formats: Sequence[ModelFormat]) -> None:
        # Whole batches run beside each other on the budget's threads, so a library gets one thread a call.
        environment = {**os.environ, **dict.fromkeys(_LIBRARY_THREADS, "1")}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "scoring.worker", *formats],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.ready = False
        self.task: ScoreObject | None = None
        self._received = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        return self._process.stdout.fileno()

    def send(self, message: Message) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()
        except BrokenPipeError:
            # The end of its events follows and tells what happened.
            pass

    def receive(self) -> list[Message] | None:
        """The messages that have arrived, or None after the worker's end. Blocks only when there is nothing yet."""
        data = os.read(self.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [decode(line) for line in lines]

    def reap(self) -> int:
        """Wait for the end of a worker whose pipe has closed; its exit code, negative for a signal."""
        # Its pipe closes a moment before its exit code is there, which a kill in between would replace.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_SECONDS_TO_DIE)
        self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """End the worker at once. Nothing is half written by that: its outputs are renamed into place when whole."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if self._process.poll() is None:
            self._process.kill()


class Supervisor:
    """Dispatches objects, largest first. Use as a context manager: no worker outlives it.

    `cores` is what all workers together may use. With `workers` None their number follows the work: one, more when
    the shard is large or turns out to take longer than starting another; a number given is used as it is.
    """

    def __init__(self, formats: Sequence[ModelFormat], cores: int, workers: int | None = None) -> None:
        self._formats = tuple(dict.fromkeys(formats))
        self._cores = cores
        self._fixed = workers
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._setup: WorkerSetup | None = None
        self._queue: list[PinnedObject] = []
        self._done: list[ObjectDone] = []
        self._deaths = 0
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
        self._queue = list(objects)
        for worker in self._workers:
            worker.send(setup)
        total = sum(item.size for item in objects)
        first = self._fixed or 1 + total // _BYTES_FOR_ANOTHER_WORKER
        for _ in range(len(self._workers), min(first, self._most_workers())):
            self.start_worker()
        while self._queue or any(worker.task for worker in self._workers):
            self._grow()
            timeout = _GROWTH_CHECK_SECONDS if self._queue and self._fixed is None else None
            for key, _ in self._selector.select(timeout):
                for done in self._hear(key.data):
                    self._done.append(done)
                    on_done(done)
            self._dispatch()
        return self._done

    def _most_workers(self) -> int:
        busy = sum(worker.task is not None for worker in self._workers)
        most = len(self._queue) + busy
        return max(1, min(self._fixed or self._cores, most))

    def _grow(self) -> None:
        """Start more workers once the work that is left takes longer than starting them."""
        if not self._workers:
            self.start_worker()
        if self._fixed is not None or self._first_dispatch is None or not self._queue:
            return
        elapsed = time.monotonic() - self._first_dispatch
        left = sum(item.size for item in self._queue)
        seconds_left = elapsed * left / self._bytes_done if self._bytes_done else math.inf
        if elapsed > self._startup_seconds and seconds_left > 2 * self._startup_seconds:
            for _ in range(len(self._workers), self._most_workers()):
                self.start_worker()

    def _dispatch(self) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.task is None]
        free = self._cores - sum(worker.task.threads for worker in self._workers if worker.task)
        while idle and self._queue and free > 0:
            item = self._queue[0]
            left = sum(other.size for other in self._queue)
            # By its part of the work that is left, and at least what the other objects in the queue cannot use. A core
            # for each of those stays free even while no worker is there for it: one may be about to start.
            part = round(self._cores * item.size / left) if left else 1
            threads = max(1, min(free, max(part, free // len(self._queue))))
            worker = idle.pop()
            worker.task = ScoreObject(self._queue.pop(0), threads)
            worker.send(worker.task)
            free -= threads
            if self._first_dispatch is None:
                self._first_dispatch = time.monotonic()

    def _hear(self, worker: WorkerProcess) -> list[ObjectDone]:
        messages = worker.receive()
        if messages is None:
            return self._bury(worker)
        ended = []
        for message in messages:
            if isinstance(message, WorkerReady):
                worker.ready = True
                self._startup_seconds = message.seconds
            elif isinstance(message, SetupFailed):
                raise error_of_kind(message.kind, message.text)
            elif isinstance(message, ObjectDone):
                if worker.task is not None:
                    self._bytes_done += worker.task.object.size
                worker.task = None
                ended.append(message)
        return ended

    def _bury(self, worker: WorkerProcess) -> list[ObjectDone]:
        """A worker died: its object failed, the others are scored by whoever is left or by a new one."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        error = _explain(worker.reap(), worker.task)
        self._deaths += 1
        if worker.task is None or self._deaths >= _MOST_DEATHS:
            raise error
        failure = Failure("", FailureKind(error.kind), error.text)
        return [ObjectDone(worker.task.object.key, 0, 0.0, (failure,))]


def _explain(code: int, task: ScoreObject | None) -> ScoringError:
    doing = "loading the models" if task is None else f"scoring object {task.object.key!r}"
    if code == -signal.SIGKILL:
        return WorkerDiedError(
            f"a worker was killed (SIGKILL) while {doing}, most likely out of memory: if it happens again choose an "
            "instance type with more memory or a smaller batch_rows"
        )
    ending = f"exit code {code}"
    if code < 0:
        ending = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            return WorkerDiedError(f"a worker was ended from outside ({ending}) while {doing}")
    return ModelError(f"a model took its worker process down ({ending}) while {doing}: see the job's log")
