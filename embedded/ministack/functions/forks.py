"""Worker processes of Python functions, forked from one process that has loaded the AWS libraries.

Importing boto3 and Powertools and reading the descriptions of services takes more than a second of
CPU time per process. Each worker is still a process of its own.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from embedded.ministack.functions.fork_server import ANSWER_BYTES

# On AWS a function sees its package, its layers and the runtime. Without this, an editable install
# of this project in the server's environment would let it import modules that were not packaged.
HIDE_UNDEPLOYED_MODULES = """
import os as _os, sys as _sys
_roots = (_sys.prefix, _sys.base_prefix, _os.path.dirname(_os.__file__))
_sys.path[:] = [p for p in _sys.path if p.startswith(_roots)]
_sys.meta_path[:] = [f for f in _sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""
_LIBRARIES = ("boto3", "botocore", "aws_lambda_powertools")
"""Libraries of the fork server. A function that packages one of them gets a process without it."""


class WorkerProcesses:
    """Takes the place of the module `subprocess` in ministack's `lambda_runtime`.

    `Popen` starts a Python worker as a fork, and everything else with `subprocess`.
    """

    PIPE = subprocess.PIPE

    def __init__(self, module: Any) -> None:
        self._module = module
        self._server: _ForkServer | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def Popen(self, command: list[str], **options: Any) -> Any:  # noqa: N802 - the name of `subprocess`
        """Start a worker as ministack asks for it, with pipes for text."""
        if command[0] != sys.executable or not hasattr(os, "pidfd_open") or _packages_libraries(options["cwd"]):
            return self._module.Popen(command, **options)
        with self._lock:
            if self._server is None or not self._server.is_running():
                self._server = _ForkServer()
            return self._server.start_worker(command[1], Path(options["cwd"]), options["env"])

    def close(self) -> None:
        """End the fork server. Workers end when their pipes are closed."""
        if self._server is not None:
            self._server.close()
            self._server = None


class ForkedProcess:
    """A worker, with the part of the interface of `subprocess.Popen` that ministack uses."""

    def __init__(self, pid: int, pidfd: int, pipes: "_Pipes") -> None:
        self.pid = pid
        self._pidfd = pidfd
        self.stdin = os.fdopen(pipes.stdin, "w", encoding="utf-8", buffering=1)
        self.stdout = os.fdopen(pipes.stdout, encoding="utf-8", buffering=1)
        self.stderr = os.fdopen(pipes.stderr, encoding="utf-8", buffering=1)

    def __del__(self) -> None:
        os.close(self._pidfd)

    def poll(self) -> int | None:
        """Return None while the process runs, then -1: its exit code is unknown."""
        return -1 if select.select([self._pidfd], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end. Raises subprocess.TimeoutExpired."""
        if not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
        return -1

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)


class _Pipes(NamedTuple):
    """The server's ends of a worker's pipes."""

    stdin: int
    stdout: int
    stderr: int


class _ForkServer:
    """The process that has loaded the libraries. It ends with the server process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        code = Path(__file__).with_name("fork_server.py").read_text(encoding="utf-8")
        with theirs:
            # Our own code, in this interpreter.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", f"{HIDE_UNDEPLOYED_MODULES}\n{code}\nserve({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def is_running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def start_worker(self, script: str, folder: Path, environment: dict[str, str]) -> ForkedProcess:
        """Fork a worker that runs the script in a folder."""
        theirs_in, stdin = os.pipe()
        stdout, theirs_out = os.pipe()
        stderr, theirs_err = os.pipe()
        request = json.dumps({"script": script, "folder": str(folder), "environment": environment}).encode()
        try:
            socket.send_fds(self._socket, [len(request).to_bytes(8, "big")], [theirs_in, theirs_out, theirs_err])
        finally:
            for descriptor in (theirs_in, theirs_out, theirs_err):
                os.close(descriptor)
        self._socket.sendall(request)
        answer, descriptors, _, _ = socket.recv_fds(self._socket, ANSWER_BYTES, 1)
        if not descriptors:
            raise RuntimeError("the process that starts functions has ended: see the server's log")
        return ForkedProcess(int(answer), descriptors[0], _Pipes(stdin, stdout, stderr))


def _packages_libraries(folder: str) -> bool:
    """Return whether a function's package has libraries that the fork server has loaded already."""
    return any(Path(folder, name).exists() for name in _LIBRARIES)
