"""The mounts of files and folders."""

import os
from dataclasses import dataclass
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True)
class Mount:
    """The mount of a folder. Files can be renamed only within a mount."""

    id: int
    is_in_memory: bool = False


def mount_of(folder: Path) -> Mount:
    """Return the mount of an existing folder; without Linux, its device.

    A bind mount has the device of its source, so the device says too little. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        number = _mount_id(descriptor)
        device = os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)
    return Mount(device) if number is None else Mount(number, _kind(number) in _IN_MEMORY)


def _mount_id(descriptor: int) -> int | None:
    for line in _lines(f"/proc/self/fdinfo/{descriptor}"):
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    return None


def _kind(number: int) -> str:
    """Return the kind of file system of a mount; empty if it is not known."""
    for line in _lines("/proc/self/mountinfo"):
        fields, _, source = line.partition(" - ")
        if fields.split(" ", 1)[0] == str(number):
            return source.split(" ", 1)[0]
    return ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
