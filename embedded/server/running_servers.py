"""The detached embedded AWSs of this user that run on this machine."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

_MODULE = "embedded.server.process"


def running_state_dirs() -> list[Path]:
    """Return the folders of all running detached embedded AWSs. Do not trust their files."""
    files = [Path(line[-1]) for line in _command_lines() if len(line) > 1 and _MODULE in line]
    folders = [file.parent.parent for file in files if file.parent.name == "aws"]
    found = set()
    for folder in folders:
        with suppress(OSError):
            if (folder / "embedded-aws.json").exists():
                found.add(folder)
    return sorted(found)


def _command_lines() -> list[list[str]]:
    processes = Path("/proc")
    if not (processes / "self" / "cmdline").exists():
        with suppress(OSError):
            listed = subprocess.run(
                ["ps", "-xww", "-o", "command="],  # noqa: S607 - part of macOS
                capture_output=True, text=True, check=False,
            ).stdout  # fmt: skip
            return [line.rstrip().split(" ", 3) for line in listed.splitlines()]
        return []
    found = []
    for process in processes.glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == os.geteuid():
                found.append((process / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
    return found
