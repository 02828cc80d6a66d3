"""Copies byte ranges from file to file in the kernel, without passing them through this process."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from io import FileIO

_UNSUPPORTED = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
"""Errors by which kernels and file systems refuse a system call that they do not support."""
_MAX_BYTES_PER_CALL = 1 << 30
_BUFFER_BYTES = 1 << 20
_MAX_PARTS_PER_CALL = 1_024
"""Linux's IOV_MAX."""


def append_range(source: int, target: int, start: int, count: int) -> None:
    """Copy `count` bytes from offset `start` of one open file to the position of another.

    Both files are given by their descriptors.

    Raises:
        OSError: Reading or writing failed.
        EOFError: The source ends before the range does.
    """
    end = start + count
    for copy in _COPY_FUNCTIONS:
        start = _copy_range(copy, source, target, start, end)
        if start == end:
            return
    raise EOFError(f"the file ends {end - start:,} bytes before the end of the range to copy")


def append(target: FileIO, data: bytes | memoryview) -> None:
    """Write all data to an unbuffered file, whose `write` may take only a part of it."""
    left = memoryview(data)
    while left:
        left = left[target.write(left) :]


def append_all(target: FileIO, parts: Sequence[bytes | memoryview]) -> None:
    """Write several parts to an unbuffered file, usually in one system call."""
    written = os.writev(target.fileno(), parts[:_MAX_PARTS_PER_CALL])
    for part in parts:
        if written < len(part):
            append(target, memoryview(part)[written:])
        written = max(0, written - len(part))


def _copy_range(copy: Callable[[int, int, int, int], int], source: int, target: int, start: int, end: int) -> int:
    """Copy as much as one function can, and return the offset that it reached."""
    try:
        while start < end and (copied := copy(source, target, start, min(_MAX_BYTES_PER_CALL, end - start))):
            start += copied
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return start


def _with_copy_file_range(source: int, target: int, start: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset_src=start)


def _with_sendfile(source: int, target: int, start: int, count: int) -> int:
    return os.sendfile(target, source, start, count)


def _with_buffer(source: int, target: int, start: int, count: int) -> int:
    return os.write(target, os.pread(source, min(_BUFFER_BYTES, count), start))


# sendfile can write to a file only on Linux.
_COPY_FUNCTIONS = (_with_copy_file_range, _with_sendfile, _with_buffer) if sys.platform == "linux" else (_with_buffer,)
