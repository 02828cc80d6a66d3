"""One instance of a job: a folder that it sees as /opt/ml, and a process group."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import posixpath
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli.sandbox.isolation import Isolation
from cli.sandbox.program import SandboxedProgram
from contract.environment import ML_ROOT
from contract.planner.instances import size_of
from embedded.faults import wrong_clock
from embedded.images.image import Image
from embedded.sagemaker.instances.capacity import Cores
from embedded.sagemaker.instances.disks import mount_disk
from embedded.sagemaker.instances.guard import Guard, kill_escaped_processes, kill_group
from embedded.sagemaker.instances.settings import InstanceSettings
from embedded.sagemaker.instances.spare_folders import Layout, SpareFolders, layout_of, make_folders
from embedded.sagemaker.jobs.job import Job
from embedded.threads import start_thread

_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
_PLACES = ("/home/job", "/tmp")  # noqa: S108 - of a container
"""HOME and TMPDIR in a container with its own file system."""
_MODES = {"ml": 0o755, "root/home": 0o755, "root/tmp": 0o1777}
"""Folders that other users may enter, to which the container may switch, with their modes."""
_KILLED_BY_SIGNAL = 128
"""The exit code of a killed process is this plus the number of the signal, as in Docker."""


class Instance:
    """An instance. `host` is its name within the job, such as algo-1.

    Its volume has what the job's request names below /opt/ml; its root disk has the rest.
    """

    def __init__(self, host: str, folder: Path, settings: InstanceSettings | None = None) -> None:
        self.host = host
        self._folder = folder
        self._settings = settings or InstanceSettings()
        self.ml_root = folder / "ml"
        """Root of the volume, and /opt/ml unless each path is a mount of its own."""
        self._root_disk = folder / "root"
        self._home, self._temporary = self._root_disk / "home", self._root_disk / "tmp"
        self._clock_file = folder / "clock" / "offset.json"
        self._clock: wrong_clock.Setting | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._has_namespaces = False
        self._has_disks = False
        self._layout: Layout = ()
        self._ended: threading.Event | None = None
        self._lending = contextlib.ExitStack()

    def local(self, path: str) -> Path:
        """Return the path on this machine for a path below /opt/ml."""
        return self.ml_root / _below_ml(path)

    def create_files(self, job: Job, spares: SpareFolders) -> None:
        """Create the disks, folders and files that SageMaker creates before a container starts.

        `spares` has folders of ended instances. Raises OSError.
        """
        volume = self._settings.volume_limit(job.volume_size_gb)
        if volume is not None:
            mount_disk(self.ml_root, volume)
        if self._settings.root_disk_bytes is not None:
            mount_disk(self._root_disk, self._settings.root_disk_bytes)
        files = job.files(self.host)
        places = [*map(_below_ml, job.folders()), *(posixpath.dirname(_below_ml(path)) for path in files)]
        layout = layout_of((f"ml/{place}" for place in places), _MODES)
        self._has_disks = volume is not None or self._settings.root_disk_bytes is not None
        if self._has_disks or not spares.take(layout, self._folder):
            make_folders(self._folder, layout)
        self._layout = layout
        for path, content in files.items():
            self.local(path).write_text(json.dumps(content), encoding="utf-8")

    def give_folders(self, spares: SpareFolders) -> None:
        """Leave the folders of this ended instance to later ones, if it is certain that no process uses them."""
        if self._has_namespaces and not self._has_disks:
            spares.give(self._layout, self._folder)

    def set_clock(self, seconds: float = 0.0, rate: float = 1.0) -> None:
        """Let the clock be wrong by some seconds, and pass `rate` seconds per second from now on.

        The container's processes follow later calls if the first one was before the start.
        """
        self._clock_file.parent.mkdir(exist_ok=True)
        self._clock = wrong_clock.write(str(self._clock_file), seconds, rate)

    def now(self) -> float:
        """Return the time of the instance's clock, in seconds since 1970."""
        return time.time() if self._clock is None else wrong_clock.time_of(self._clock)

    def start(
        self,
        image: Image,
        job: Job,
        *,
        isolation: Isolation,
        guard: Guard,
        cores: Cores,
        variables: dict[str, str],
        readable: Sequence[Path],
        shared: Path | None,
        exited: Callable[[str, int], None],
        python: str = sys.executable,
    ) -> int:
        """Start the container's process and return the file descriptor of its output.

        Args:
            cores: Cores of this machine, for settings that limit an instance to those of its type.
            variables: Environment variables of the service. They override the image's; the request
                overrides them.
            readable: Files that the container sees besides its image.
            shared: Folder that the container sees and may change.
            exited: Called in another thread with host and exit code when all processes have ended.
            python: Interpreter to use instead of the image's Python.

        Raises:
            ValueError: The image has no command to start.
            OSError: The process could not start.
        """
        container = job.container
        # Without namespaces, the processes of a container are recognized by the folder of their TMPDIR.
        home, temporary = _PLACES if isolation.has_namespaces else (str(self._home), str(self._temporary))
        own = {"HOME": home, "TMPDIR": temporary, "LANG": os.environ.get("LANG", "C.UTF-8")}
        if self._clock is not None:
            own[wrong_clock.VARIABLE] = str(self._clock_file)
        size = size_of(job.instance_type) if self._settings.size == "instance-type" else None
        moved = None if isolation.has_namespaces else self.ml_root
        command = image.command(
            entrypoint=container.entrypoint,
            arguments=container.arguments,
            environment={**own, **variables, **container.environment},
            ml_root=moved,
            python=python,
        )
        program = SandboxedProgram(
            argv=command.argv,
            environment={**command.environment, **({} if moved is None else {ML_ROOT: str(moved)})},
            folder=str(command.working_directory),
            interpreter=python,
            readable=[image.root.parent, self._clock_file.parent, *readable],
            writable=[
                *self._mounts(job),
                (self._home, home),
                *((self._temporary, place) for place in {temporary, "/tmp", "/var/tmp"}),  # noqa: S108
                *([] if shared is None else [(shared, str(shared.absolute()))]),
            ],
            own_network=container.is_network_isolated,
            cores=self._lending.enter_context(cores.lent(None if size is None else size.vcpus)),
            memory_bytes=None if size is None else int(size.memory_gib * 2**30),
        )
        reading, writing = os.pipe()
        try:
            process = self._process = subprocess.Popen(  # noqa: S603 - runs the image's command on purpose
                program.launcher(),
                stdin=subprocess.PIPE,
                stdout=writing,
                stderr=writing,
                cwd="/",
                env=program.launcher_environment(),
                start_new_session=True,
            )
        except BaseException:
            self._lending.close()
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._guard = guard
        self._has_namespaces = isolation.has_namespaces
        # The program starts when the launcher has read the plan, so the guard already knows the
        # group.
        guard.group_begins(process.pid)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(program.plan(isolation.kind))
        self._ended = threading.Event()
        start_thread(self._wait, self._ended, exited, name=f"wait-{job.name}-{self.host}")
        return reading

    def _mounts(self, job: Job) -> list[tuple[Path, str]]:
        """Return the local folders of /opt/ml, each with its path in the container."""
        if self._settings.mounts == "one":
            return [(self.ml_root, "/opt/ml")]
        rest = self._root_disk / "ml"
        rest.mkdir(exist_ok=True)
        return [(rest, "/opt/ml"), *((self.local(path), posixpath.normpath(path)) for path in job.mount_points())]

    def join(self) -> None:
        """Wait until no process of the instance is left."""
        if self._ended is not None:
            self._ended.wait()

    @property
    def is_running(self) -> bool:
        """Whether the container's first process has started and not ended."""
        return self._process is not None and self._process.returncode is None

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process, as `docker stop` does.

        The launcher passes it on.
        """
        # Popen.send_signal would reap a process that has just ended, but the waiting thread must
        # reap it.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to all of the container's processes."""
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)

    def _wait(self, ended: threading.Event, exited: Callable[[str, int], None]) -> None:
        try:
            self._reap(exited)
        finally:
            ended.set()

    def _reap(self, exited: Callable[[str, int], None]) -> None:
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
        # In a process namespace, all processes have ended with the launcher.
        if not self._has_namespaces:
            kill_escaped_processes(self._folder)
        guard.group_ended(process.pid)
        self._lending.close()
        exited(self.host, code if code >= 0 else _KILLED_BY_SIGNAL - code)


@functools.lru_cache(maxsize=1024)
def _below_ml(path: str) -> str:
    """Return a path below /opt/ml relative to it."""
    return posixpath.relpath(posixpath.normpath(path), "/opt/ml")


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
