"""One instance of a job: a folder that it sees as /opt/ml, and a process group."""

from __future__ import annotations

import contextlib
import io
import json
import os
import posixpath
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedded.images.image import Image
from embedded.sagemaker.instances.guard import Guard, kill_escaped_processes, kill_group
from embedded.sagemaker.instances.sandbox import Sandbox
from embedded.sagemaker.jobs.job import Job

_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
_KILLED_BY_SIGNAL = 128
"""The exit code of a killed process is this plus the number of the signal, as in Docker."""


class Instance:
    """An instance. `host` is its name within the job, such as algo-1."""

    def __init__(self, host: str, folder: Path) -> None:
        self.host = host
        self._folder = folder
        self.ml_root = folder / "ml"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._waiter: threading.Thread | None = None

    def local(self, path: str) -> Path:
        """Return the path on this machine for a path below /opt/ml."""
        return self.ml_root / posixpath.relpath(posixpath.normpath(path), "/opt/ml")

    def create_files(self, job: Job) -> None:
        """Create the folders and files that SageMaker creates before a container starts."""
        for place in job.folders():
            self.local(place).mkdir(parents=True, exist_ok=True)
        for own in (self._folder / "home", self._folder / "tmp"):
            own.mkdir(parents=True, exist_ok=True)
        for path, content in job.files(self.host).items():
            file = self.local(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def start(
        self,
        image: Image,
        job: Job,
        *,
        sandbox: Sandbox,
        guard: Guard,
        variables: dict[str, str],
        exited: Callable[[str, int], None],
        python: str = sys.executable,
    ) -> int:
        """Start the container's process and return the file descriptor of its output.

        Args:
            variables: Environment variables of the service. They override the image's; the request
                overrides them.
            exited: Called in another thread with host and exit code when all processes have ended.
            python: Interpreter to use instead of the image's Python.

        Raises:
            ValueError: The image has no command to start.
            OSError: The process could not start.
        """
        container = job.container
        own = {"HOME": str(self._folder / "home"), "TMPDIR": str(self._folder / "tmp")}
        own["LANG"] = os.environ.get("LANG", "C.UTF-8")
        command = image.command(
            entrypoint=container.entrypoint,
            arguments=container.arguments,
            environment={**own, **variables, **container.environment},
            ml_root=sandbox.visible_ml_root(self.ml_root),
            python=python,
        )
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - runs the image's command on purpose
                sandbox.wrap(command.argv, self.ml_root, isolate_network=container.is_network_isolated),
                stdin=subprocess.PIPE,
                stdout=writing,
                stderr=writing,
                cwd=command.working_directory,
                env={**command.environment, **sandbox.variables(self.ml_root)},
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._guard = guard
        guard.group_begins(self._process.pid)
        with contextlib.suppress(BrokenPipeError), contextlib.closing(self._process.stdin or io.BytesIO()) as gate:
            gate.write(b"go\n")
        self._waiter = threading.Thread(
            target=self._wait, args=(exited,), name=f"wait-{job.name}-{self.host}", daemon=True
        )
        self._waiter.start()
        return reading

    def join(self) -> None:
        """Wait until no process of the instance is left."""
        if self._waiter is not None:
            self._waiter.join()

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process, as `docker stop` does."""
        # Popen.send_signal would reap a process that has just ended, but the waiting thread must
        # reap it.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to all of the container's processes."""
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)

    def _wait(self, exited: Callable[[str, int], None]) -> None:
        process, guard = self._process, self._guard
        if process is None or guard is None:
            return
        # A container ends with its first process. Kill the rest of the group before that process is
        # reaped, so that its id cannot belong to another group yet. Python below 3.13 cannot wait
        # this way on macOS.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            kill_group(process.pid)
        code = process.wait()
        kill_escaped_processes(self._folder)
        guard.group_ended(process.pid)
        exited(self.host, code if code >= 0 else _KILLED_BY_SIGNAL - code)


def resource_config(job: Job, host: str) -> dict[str, Any]:
    """Return the content of resourceconfig.json.

    All hosts are this machine, so the interface is loopback.
    """
    group = "homogeneousCluster"
    return {
        "current_host": host,
        "current_instance_type": job.instance_type,
        "current_group_name": group,
        "hosts": job.hosts,
        "instance_groups": [{"instance_group_name": group, "instance_type": job.instance_type, "hosts": job.hosts}],
        "network_interface_name": _LOOPBACK,
    }
