"""Bytes of one file into another, by the kernel: they do not pass through this process."""

import errno
import os
import sys
from collections.abc import Callable
from io import FileIO

_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
"""How kernels and file systems say that they cannot do it in this way."""
_MOST_BYTES = 1 << 30
_BUFFER_BYTES = 1 << 20


def append_range(source: int, target: int, start: int, count: int) -> None:
    """Copy `count` bytes from `start` of one open file to the place where the other one stands.

    Raises OSError, and EOFError when the source ends before.
    """
    end = start + count
    for way in _WAYS:
        start = _copy(way, source, target, start, end)
        if start == end:
            return
    raise EOFError(f"the file ends {end - start:,} bytes before the end of what is to be copied")


def append(target: FileIO, data: bytes | memoryview) -> None:
    """Write all of it where an unbuffered file stands: such a file may take less at a time."""
    left = memoryview(data)
    while left:
        left = left[target.write(left) :]


def begin_to_store(file: FileIO, start: int, count: int) -> None:
    """Let the disk begin with a range now; whoever syncs the file later waits less. A hint, and on Linux alone."""
    if sys.platform == "linux":
        os.posix_fadvise(file.fileno(), start, count, os.POSIX_FADV_DONTNEED)


def _copy(way: Callable[[int, int, int, int], int], source: int, target: int, start: int, end: int) -> int:
    """Copy as much as can be copied in one way; returns how far it came."""
    try:
        while start < end and (copied := way(source, target, start, min(_MOST_BYTES, end - start))):
            start += copied
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    return start


def _by_the_file_system(source: int, target: int, start: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset_src=start)


def _by_the_kernel(source: int, target: int, start: int, count: int) -> int:
    return os.sendfile(target, source, start, count)


def _by_a_buffer(source: int, target: int, start: int, count: int) -> int:
    return os.write(target, os.pread(source, min(_BUFFER_BYTES, count), start))


# Other systems have neither: their sendfile wants a socket.
_WAYS = (_by_the_file_system, _by_the_kernel, _by_a_buffer) if sys.platform == "linux" else (_by_a_buffer,)
