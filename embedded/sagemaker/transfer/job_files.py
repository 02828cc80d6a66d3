"""Files that a job has written, read without following links.

A job may replace a file or folder of its /opt/ml by a link at any time. The link would lead to a
file of this machine, because the service reads it from outside of the job's sandbox.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Signature = tuple[int, int, int]
"""Size in bytes, modification time in nanoseconds and inode of a file. A folder has its device instead of a size."""

_MAX_PATH_CHARACTERS = 1_024
"""Longest path below `root`: a key of S3 has 1,024 bytes, and the walk is recursive."""
_NO_SUCH_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK})


class PathTooLongError(OSError):
    """A job has nested folders deeper than S3 can have keys."""


def open_file(root: Path, path: Path) -> BinaryIO:
    """Open a regular file below `root`, the folder that the job sees as /opt/ml.

    Raises:
        FileNotFoundError: There is no such regular file; links are not followed.
    """
    with _folder(root, path.parent) as folder:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = _open(path, path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(root: Path, path: Path, limit: int) -> bytes:
    """Return the first `limit` bytes of a file below `root`; empty if there is no such file."""
    try:
        with open_file(root, path) as file:
            return file.read(limit)
    except FileNotFoundError:
        return b""


def is_folder(root: Path, path: Path) -> bool:
    """Return whether `path` is a folder below `root`, reached without links."""
    try:
        with _folder(root, path):
            return True
    except FileNotFoundError:
        return False


def folder_signature(path: Path) -> Signature | None:
    """Return the signature of a folder, which changes with its entries; None if there is no such folder."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_mtime_ns, status.st_ino


def empty_folder(root: Path, path: Path) -> Signature | None:
    """Return the signature of a folder below `root` that has no entries; None if it has some or does not exist."""
    try:
        with _folder(root, path) as folder:
            status = os.fstat(folder)
            with os.scandir(folder) as entries:
                is_empty = next(entries, None) is None
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_mtime_ns, status.st_ino) if is_empty else None


def files_below(root: Path, path: Path) -> Iterator[tuple[Path, Signature]]:
    """Yield the regular files below a folder of `root`, sorted by path; none without the folder.

    Raises:
        PathTooLongError: A folder's path is longer than a key of S3 can be.
    """
    if len(path.as_posix()) - len(root.as_posix()) > _MAX_PATH_CHARACTERS:
        raise PathTooLongError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    found: list[tuple[str, Signature]] = []
    folders: list[str] = []
    try:
        with _folder(root, path) as folder, os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append((entry.name, (status.st_size, status.st_mtime_ns, status.st_ino)))
    except FileNotFoundError:
        return
    signatures = dict(found)
    for name in sorted([*signatures, *folders]):
        if name in signatures:
            yield path / name, signatures[name]
        else:
            yield from files_below(root, path / name)


@contextlib.contextmanager
def _folder(root: Path, path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder that is below `root` or `root` itself."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    descriptor = _open(root, str(root), flags, None)
    try:
        for part in path.relative_to(root).parts:
            inner = _open(path, part, flags | os.O_NOFOLLOW, descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, name: str, flags: int, folder: int | None) -> int:
    try:
        return os.open(name, flags | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        raise
