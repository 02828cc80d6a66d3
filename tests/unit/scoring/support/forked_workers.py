"""Starts the workers of a scoring job as copies of a supervisor that has loaded their libraries.

A worker that loads its libraries itself takes seconds. The copy runs the same entry point with the
same pipes and variables, and is a child of the supervisor like a started process.
"""

import itertools
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Never

from scoring.supervision import worker_process

_MOST_DESCRIPTORS = 4096


class _ForkedProcess:
    """What `subprocess.Popen` returns, as far as the supervisor uses it."""

    def __init__(
        self, args: Sequence[str], environment: Mapping[str, str], kept: Sequence[int], *, reads_errors: bool
    ) -> None:
        child_stdin, stdin = os.pipe()
        stdout, child_stdout = os.pipe()
        stderr, child_stderr = os.pipe() if reads_errors else (None, 2)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _work(args, environment, kept, (child_stdin, child_stdout, child_stderr))
        self.returncode: int | None = None
        self._ended = os.pidfd_open(self.pid)
        self.stdin = os.fdopen(stdin, "wb", buffering=0)
        self.stdout = os.fdopen(stdout, "rb", buffering=0)
        os.close(child_stdin)
        os.close(child_stdout)
        self.stderr = None if stderr is None else os.fdopen(stderr, "rb", buffering=0)
        if reads_errors:
            os.close(child_stderr)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def poll(self) -> int | None:
        return self.wait() if select.select([self._ended], [], [], 0)[0] else None

    def kill(self) -> None:
        signal.pidfd_send_signal(self._ended, signal.SIGKILL)


def _work(args: Sequence[str], environment: Mapping[str, str], kept: Sequence[int], streams: Sequence[int]) -> Never:
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for first, stop in itertools.pairwise([2, *sorted(kept), _MOST_DESCRIPTORS]):
            os.closerange(first + 1, stop)
        # The supervisor's streams may make events of what is printed.
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
        os.environ.clear()
        os.environ.update(environment)
        module = args.index("-m") + 1
        sys.argv = list(args[module:])
        runpy.run_module(args[module], run_name="__main__", alter_sys=True)
    except BaseException:  # the supervisor's own handlers must not run in the worker
        traceback.print_exc()
    finally:
        os._exit(1)


def _start(args: Sequence[str], **options: Any) -> Any:
    if sys.platform != "linux" or threading.active_count() > 1:
        # A fork of a process with threads can hang.
        return subprocess.Popen(args, **options)
    return _ForkedProcess(args, options["env"], options["pass_fds"], reads_errors=options["stderr"] == subprocess.PIPE)


def install() -> None:
    """Let the supervisor of this process fork its workers."""
    names = {"PIPE": subprocess.PIPE, "TimeoutExpired": subprocess.TimeoutExpired}
    worker_process.subprocess = SimpleNamespace(Popen=_start, **names)  # type: ignore[assignment]
