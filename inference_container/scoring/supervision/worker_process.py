"""One worker from the supervisor's side: its process, pipes, tasks and exit code."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from contract.catalog.model_formats import ModelFormat
from contract.job.scoring_spec import PinnedObject
from scoring.called_models import open_notes, read_notes
from scoring.device import visible_gpus, worker_variables
from scoring.errors import ModelError, ScoringError, TransientError
from scoring.job_log.fields import job_fields
from scoring.job_log.process_output import ProcessOutput
from scoring.protocol import (
    MAX_EVENT_BYTES,
    Command,
    Event,
    GroupWritten,
    InvalidEventError,
    ObjectWritten,
    PartDone,
    PredictPart,
    ScoreGroup,
    ScoreObject,
    Task,
    decode_event,
    encode,
    objects_of,
)
from scoring.separation.worker_user import WorkerUser, make_folder, process_options

_EXIT_SECONDS = 30
_MAX_SHOWN_OBJECTS = 3
_MAX_LOGGED = 10
"""Most objects, and models, that a line of the log names."""
_KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "MALLOC_ARENA_MAX": "2",
}
"""Settings of the C library (glibc). Each batch allocates matrices of a few megabytes. Memory
returned to the system in between must be requested and cleared again, which costs a light model
more than predicting. Two arenas and not one per thread, because any free thread may score an
object."""
_LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerDiedError(TransientError):
    """A worker process ended without reporting a reason."""


class WorkerProcess:
    """One worker process, its pipes and its tasks.

    With a `user` of its own, the process may write to `folder` only. `number` decides which GPU it uses.
    """

    def __init__(
        self, formats: Sequence[ModelFormat], folder: Path, user: WorkerUser | None, *, number: int = 0
    ) -> None:
        self.folder = folder
        make_folder(folder, user)
        self._notes = open_notes()
        self.called_models: tuple[str, ...] = ()
        """Models that it was calling when it ended; empty if it was doing something else."""
        # Batches run in parallel on the worker's threads, so a library gets one thread per call.
        own = dict.fromkeys(_LIBRARY_THREADS, "1") | worker_variables(number, visible_gpus())
        environment = {**_KEEP_FREED_MEMORY, **os.environ, **own}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: without modules of the working directory, which model code can write to.
            [sys.executable, *(["-P"] if user else []), "-m", "scoring.worker.__main__", str(self._notes), *formats],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Outside of a job, people see what a model prints as it is.
            stderr=subprocess.PIPE if job_fields() else None,
            # A buffer would be flushed when the pipe is closed, which waits for a worker that does not read.
            bufsize=0,
            pass_fds=(self._notes,),
            **process_options(user, folder, environment),
        )
        self._number = number
        self.models: tuple[str, ...] = ()
        """Ids of the models that it scores with."""
        self.members: frozenset[str] = frozenset()
        """Ids of the fleet's models, if it scores a fleet."""
        self.ready = False
        self.computing: list[Task] = []
        self.waiting: deque[ScoreObject | ScoreGroup] = deque()
        """Tasks that start after others have been computed."""
        self.committing: list[PinnedObject] = []
        """Objects that are written and are being committed, which does not need the worker."""
        self._computed_count = 0
        self._received = bytearray()
        printed = self._process.stderr if job_fields() else None
        self._output = ProcessOutput(printed, self.doing, has_errors=True) if printed is not None else None

    def doing(self, called: Sequence[str] = ()) -> dict[str, object]:
        """Return what the worker is doing, as fields of a line of the log.

        `called` are the models that it is calling, if they are known.
        """
        models = called or self.models
        keys = list(dict.fromkeys(item.key for task in tuple(self.computing) for item in objects_of(task)))
        counts = {"object_count": len(keys)} if len(keys) > _MAX_LOGGED else {}
        counts |= {"model_count": len(models)} if len(models) > _MAX_LOGGED else {}
        return {
            "worker": self._number,
            "objects": keys[:_MAX_LOGGED],
            "models": list(models[:_MAX_LOGGED]),
            **counts,
        }

    def fileno(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, see above
        return self._process.stdout.fileno()

    def send(self, message: Command) -> None:
        assert self._process.stdin is not None  # noqa: S101
        unsent = memoryview(encode(message))
        try:
            while unsent:
                unsent = unsent[os.write(self._process.stdin.fileno(), unsent) :]
        except BrokenPipeError:
            # The worker has died. Its event pipe closes too, which `receive` reports.
            pass

    @property
    def committing_bytes(self) -> int:
        """Bytes of the objects that are being committed."""
        return sum(item.size for item in self.committing)

    def start(self, task: Task) -> None:
        self.computing.append(task)
        self.send(task)

    def start_later(self, objects: Sequence[PinnedObject]) -> None:
        """Send objects that the worker scores on one thread once a current task frees a core."""
        task = scoring_task(objects, start_after=self._computed_count + len(self.waiting) + 1)
        self.waiting.append(task)
        self.send(task)

    def record_end(self, event: ObjectWritten | GroupWritten | PartDone) -> Task:
        """Remove the task that an event ends from the computing ones, and return it.

        Raises InvalidEventError when the worker has no such task.
        """
        for task in self.computing:
            if _work_of(task) == _end_of(event):
                self._finish_computing(task)
                return task
        raise InvalidEventError("it is about an object that the worker was not scoring")

    def _finish_computing(self, task: Task) -> None:
        self.computing.remove(task)
        self._computed_count += 1
        while self.waiting and self.waiting[0].start_after <= self._computed_count:
            self.computing.append(self.waiting.popleft())

    def receive(self) -> Iterator[Event] | None:
        """Return the messages that have arrived, waiting for data; None after the worker's end.

        Raises InvalidEventError for what is not a message: model code can write to the pipe. The messages before it
        are returned first, because they are about other objects.
        """
        data = os.read(self.fileno(), 1 << 16)
        if not data:
            return None
        self._received += data
        if b"\n" not in data:
            if len(self._received) > MAX_EVENT_BYTES:
                raise InvalidEventError(f"it has more than {MAX_EVENT_BYTES:,} bytes")
            return iter(())
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        return (decode_event(bytes(line)) for line in lines)

    def has_ended_with_open_pipe(self) -> bool:
        """Return whether the process has ended and its messages are read, but its pipe is open.

        A process that the model has started may hold the pipe, so its end never comes.
        """
        return self._process.poll() is not None and not select.select([self], [], [], 0)[0]

    def reap(self) -> int:
        """Wait for a worker whose pipe has closed. Returns its exit code, negative for a signal."""
        # The pipe closes a moment before the exit code is available; a kill would replace that
        # code.
        try:
            code = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        if self._output is not None:
            self._output.finish()
        notes = read_notes(self._notes)
        self.called_models = tuple(name for name in notes if name in self.members or name in self.models)
        os.close(self._notes)
        return code

    def kill(self) -> None:
        """Kill the worker.

        Objects that are being committed are not lost. Other files that it has written are ignored.
        """
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if self._process.poll() is None:
            self._process.kill()


def scoring_task(objects: Sequence[PinnedObject], *, start_after: int = 0) -> ScoreObject | ScoreGroup:
    """Return the task that scores one or several objects on one thread."""
    if len(objects) == 1:
        return ScoreObject(objects[0], 1, start_after=start_after)
    return ScoreGroup(tuple(objects), start_after)


def _work_of(task: Task) -> tuple[type, tuple[str, ...], int | None]:
    """Return what a task is about, in the form of `_end_of`."""
    keys = tuple(item.key for item in objects_of(task))
    if isinstance(task, PredictPart):
        return PartDone, keys, task.part
    return (GroupWritten if isinstance(task, ScoreGroup) else ObjectWritten), keys, None


def _end_of(event: ObjectWritten | GroupWritten | PartDone) -> tuple[type, tuple[str, ...], int | None]:
    if isinstance(event, GroupWritten):
        return GroupWritten, tuple(written.key for written in event.objects), None
    return type(event), (event.key,), event.part if isinstance(event, PartDone) else None


def describe_objects(tasks: Sequence[Task]) -> str:
    """Return which objects tasks are about, for a message."""
    keys = list(dict.fromkeys(repr(item.key) for task in tasks for item in objects_of(task)))
    if len(keys) > _MAX_SHOWN_OBJECTS:
        return f"{len(keys):,} objects, among them {' and '.join(keys[:_MAX_SHOWN_OBJECTS])}"
    return f"object{'s' if len(keys) > 1 else ''} {' and '.join(keys)}"


def explain_exit(code: int, tasks: Sequence[Task], called: Sequence[str] = ()) -> ScoringError:
    """Return the error for a worker's exit code; any task that it had started may be the cause.

    `called` are the models that it was calling, to be named.
    """
    doing = f"scoring {describe_objects(tasks)}" if tasks else "loading the models"
    if called:
        names = " and ".join(map(repr, called[:_MAX_SHOWN_OBJECTS]))
        hidden = f" and {len(called) - _MAX_SHOWN_OBJECTS:,} more" if len(called) > _MAX_SHOWN_OBJECTS else ""
        models = f"model{'s' if len(called) > 1 else ''} {names}{hidden}"
        doing = f"{doing} with {models}" if tasks else f"loading {models}"
    if code == -signal.SIGKILL:
        return WorkerDiedError(
            f"a worker was killed (SIGKILL) while {doing}, most likely out of memory: if it happens again choose an "
            "instance type with more memory"
        )
    ending = f"exit code {code}"
    if code < 0:
        ending = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            return WorkerDiedError(f"another process stopped a worker ({ending}) while {doing}")
    return ModelError(f"a model crashed its worker process ({ending}) while {doing}: see the job's log")
