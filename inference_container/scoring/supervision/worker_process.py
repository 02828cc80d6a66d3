"""One worker as the supervisor sees it: a process, two pipes, and what its end means."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from contract.catalog.model_formats import ModelFormat
from contract.job.scoring_spec import PinnedObject
from scoring.errors import ModelError, ScoringError, TransientError
from scoring.protocol import Message, ScoreObject, Task, decode, encode

_SECONDS_TO_DIE = 30
_KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "MALLOC_ARENA_MAX": "2",
}
"""For the C library (glibc): each batch takes matrices of a few megabytes, and memory that goes back to the system in
between must be taken and cleared again, which costs a light model more than predicting. Not for each thread by itself:
objects are scored by whichever thread is free."""
_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerDiedError(TransientError):
    """A worker process ended without a word."""


class WorkerProcess:
    """One worker and its two pipes."""

    def __init__(self, formats: Sequence[ModelFormat]) -> None:
        # Whole batches run beside each other on the budget's threads, so a library gets one thread a call.
        environment = {**_KEEP_FREED_MEMORY, **os.environ, **dict.fromkeys(_LIBRARY_THREADS, "1")}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "scoring.worker.__main__", *formats],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.ready = False
        self.computing: list[Task] = []
        self.waiting: deque[ScoreObject] = deque()
        """Begin when others have computed."""
        self.committing: list[Task] = []
        self._computed = 0
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

    @property
    def in_hand(self) -> list[Task]:
        """What it has begun."""
        return [*self.computing, *self.committing]

    def begin(self, task: Task) -> None:
        self.computing.append(task)
        self.send(task)

    def begin_later(self, item: PinnedObject) -> None:
        """Let it score an object on one thread as soon as a task that it has now needs no more of its cores."""
        task = ScoreObject(item, 1, after=self._computed + len(self.waiting) + 1)
        self.waiting.append(task)
        self.send(task)

    def predicted(self, key: str) -> None:
        task = next(task for task in self.computing if task.object.key == key)
        self._has_computed(task)
        self.committing.append(task)

    def ended(self, key: str) -> Task:
        """The task of this object has ended, and is forgotten."""
        task = next(task for task in self.in_hand if task.object.key == key)
        if task in self.committing:
            self.committing.remove(task)
        else:
            self._has_computed(task)
        return task

    def _has_computed(self, task: Task) -> None:
        self.computing.remove(task)
        self._computed += 1
        while self.waiting and self.waiting[0].after <= self._computed:
            self.computing.append(self.waiting.popleft())

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


def why_it_died(code: int, tasks: Sequence[Task]) -> ScoringError:
    """What its exit code means; whatever it had begun may have been the reason."""
    keys = [repr(task.object.key) for task in tasks]
    doing = f"scoring object{'s' if len(keys) > 1 else ''} {' and '.join(keys)}" if keys else "loading the models"
    if code == -signal.SIGKILL:
        return WorkerDiedError(
            f"a worker was killed (SIGKILL) while {doing}, most likely out of memory: if it happens again choose an "
            "instance type with more memory"
        )
    ending = f"exit code {code}"
    if code < 0:
        ending = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            return WorkerDiedError(f"a worker was ended from outside ({ending}) while {doing}")
    return ModelError(f"a model took its worker process down ({ending}) while {doing}: see the job's log")
