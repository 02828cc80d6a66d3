"""Ends the processes that model code has left behind, in any process group."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
_MAX_SECONDS = 10
_PAUSE_SECONDS = 0.002


def set_no_new_privileges() -> None:
    """Prevent this process and its descendants from gaining privileges by starting a program."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, like process 1 of a container."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def kill_descendants() -> bool:
    """Kill and reap all children until there are none; with `adopt_orphans`, all descendants.

    Returns whether none is left. Call it only when no child is needed any more.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    while children := _children():
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        reaped = False
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                reaped = True
        if time.monotonic() > deadline:
            return False
        if not reaped:
            time.sleep(_PAUSE_SECONDS)
    return True


def _children() -> list[int]:
    """Return the processes whose parent is this one; none where the system does not tell."""
    if sys.platform != "linux":
        return []
    parent = str(os.getpid())
    children: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name before the last parenthesis may contain anything; state and parent follow.
            if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1] == parent:
                children.append(int(entry.name))
    return children


def _prctl(option: int) -> None:
    """Switch on an option of this process on Linux; do nothing on other systems."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - takes milliseconds, and other systems do not need it

        ctypes.CDLL(None, use_errno=True).prctl(option, 1, 0, 0, 0)
