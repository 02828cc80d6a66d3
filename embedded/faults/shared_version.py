"""A version number in memory that processes share, so that reading it needs no system call."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

_BYTES = 8


class SharedVersion:
    """A version number in a file, which each process that uses it has mapped into its memory."""

    def __init__(self, file: Path) -> None:
        """`file` and its folder need not exist."""
        self._file = file
        self._memory: mmap.mmap | None = None

    def read(self) -> bytes:
        memory = self._memory or self._map()
        return memory[:_BYTES]

    def change(self) -> None:
        """Change the number. Let one thread of one process do this at a time."""
        memory = self._memory or self._map()
        number = int.from_bytes(memory[:_BYTES], "little") + 1
        memory[:_BYTES] = number.to_bytes(_BYTES, "little")

    def _map(self) -> mmap.mmap:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A new file gets zeros, and one that another process has extended meanwhile stays as it is.
            os.ftruncate(descriptor, _BYTES)
            self._memory = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        return self._memory
