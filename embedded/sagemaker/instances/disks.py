"""Disks of a limited size, as file systems in memory. They need root on Linux."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NEW_FILES = 0x20000
_NO_SETUID, _NO_DEVICES = 0x2, 0x4
_RECURSIVE, _PRIVATE = 0x4000, 0x40000


def own_mounts() -> None:
    """Move this process to its own mount namespace if permitted, so that its disks end with it.

    Call this before threads start: they would stay in the old namespace.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_FILES) == 0:
        libc.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None)


def mount_disk(folder: Path, size: int) -> None:
    """Mount an empty disk of `size` bytes on a new folder. `guard.delete_folder` unmounts it.

    Raises OSError.
    """
    folder.mkdir(parents=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"mode=0755,size={size}".encode()
    flags = ctypes.c_ulong(_NO_SETUID | _NO_DEVICES)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options):
        number = ctypes.get_errno()
        raise OSError(number, f"a disk of limited size cannot be mounted: {os.strerror(number)}", str(folder))
