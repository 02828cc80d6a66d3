"""One worker as the supervisor sees it: a process, two pipes, and what its end means."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from contract.spec import ModelFormat
from scoring.errors import ModelError, ScoringError, TransientError
from scoring.protocol import Message, Task, decode, encode

_SECONDS_TO_DIE = 30
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
        self.task: Task | None = None
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


def why_it_died(code: int, task: Task | None) -> ScoringError:
    doing = "loading the models" if task is None else f"scoring object {task.object.key!r}"
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
