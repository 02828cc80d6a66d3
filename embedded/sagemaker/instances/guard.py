"""The guard: a process that cleans up after the embedded AWS was killed.

It runs as a script and reads one command per line from standard input: `group <id>` and `done <id>`
when a process group begins and ends, and `folder <path>` for a folder to delete. When the pipe
closes, it kills the groups that have not ended and deletes the folders. It imports only the
standard library, so that it starts fast and from any folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

_KILL_ROUNDS = 100
_DETACH = 0x2


def main() -> None:
    groups: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        command, _, value = line.rstrip("\n").partition(" ")
        if command == "group":
            groups.add(int(value))
        elif command == "done":
            groups.discard(int(value))
        elif command == "folder":
            folders.append(value)
    for group in groups:
        kill_group(group)
    for folder in folders:
        kill_escaped_processes(Path(folder))
        delete_folder(Path(folder))


def delete_folder(folder: Path) -> None:
    """Delete a folder that a job may have filled, with the disks that are mounted in it."""
    _unmount_below(folder)
    # Nested folders may be deeper than Python's stack, or more than files can be open.
    with contextlib.suppress(OSError, RecursionError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            delete_entries(descriptor)
        finally:
            os.close(descriptor)
        folder.rmdir()
    if os.path.lexists(folder):
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False)  # noqa: S603, S607 - part of every system


def delete_entries(folder: int) -> None:
    """Delete what is in an open folder, without following links. What cannot be deleted stays.

    This takes half the system calls of `shutil.rmtree`.
    """
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
                continue
            inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                delete_entries(inner)
            finally:
                os.close(inner)
            os.rmdir(entry.name, dir_fd=folder)


def _unmount_below(folder: Path) -> None:
    """Detach the file systems that are mounted below a folder, the last first."""
    if sys.platform != "linux":
        return
    inside = f"{folder.absolute()}{os.sep}".encode()
    with contextlib.suppress(OSError):
        mounted = [line.split(b" ")[4] for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
        for place in reversed([place for place in mounted if place.startswith(inside)]):
            ctypes.CDLL(None).umount2(place, _DETACH)


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group, if it still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def kill_escaped_processes(folder: Path) -> None:
    """Kill processes that have left their group: on Linux, all whose TMPDIR is in `folder`.

    Each container has its own TMPDIR, which its processes inherit. In a process namespace they end
    with the launcher; this is for machines without namespaces.
    """
    mark = f"\0TMPDIR={folder}{os.sep}".encode()
    for _ in range(_KILL_ROUNDS):  # new processes may start during the scan
        killed = False
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in b"\0" + (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed = True
        if not killed:
            return


class Guard:
    """The guard process, as the embedded AWS starts and controls it."""

    def __init__(self, python: str = sys.executable) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603 - runs this file
            [python, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True, text=True, cwd="/"
        )

    def watch_folder(self, folder: Path) -> None:
        """Delete `folder` when this process ends."""
        self._send(f"folder {folder}")

    def group_begins(self, group: int) -> None:
        self._send(f"group {group}")

    def group_ended(self, group: int) -> None:
        self._send(f"done {group}")

    def close(self) -> None:
        """Make the guard clean up now, and wait until it has ended."""
        with self._lock:
            if self._process.stdin is not None and not self._process.stdin.closed:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with self._lock:
            if self._process.stdin is not None and not self._process.stdin.closed:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main()
