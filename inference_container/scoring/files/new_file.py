"""Files that have no name until they are complete.

SageMaker uploads whatever it finds in an output folder while the job runs, and may mount each
output folder by itself. So a file is created in the file system of its folder, but without a name
(O_TMPFILE of Linux), and gets its name when it is complete.

Where the system or the file system has no such files (macOS, NFS), the file has a hidden name in
its folder until it is complete: `contract.layout.unfinished_name`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from contract.layout import unfinished_name
from scoring.errors import is_disk_full
from scoring.files.ranges import append_range

_WITHOUT_NAME = getattr(os, "O_TMPFILE", 0)
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
"""Errors of systems and file systems that have no files without a name."""
_MODE = 0o644


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a new file that replaces `target` when the block ends.

    After an exception, `target` is as before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    hidden = unfinished_name(target.name)
    try:
        unnamed = _open_without_name(target.parent)
        try:
            with os.fdopen(_open_hidden(hidden, folder) if unnamed is None else unnamed, "wb") as file:
                yield file
                file.flush()
                if unnamed is not None and not _link(file.fileno(), target.name, folder):
                    _give_hidden_name(file.fileno(), hidden, folder)
                    unnamed = None
            if unnamed is None:
                os.replace(hidden, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(hidden, folder)
            raise
    finally:
        os.close(folder)


def _open_without_name(folder: Path) -> int | None:
    if not _WITHOUT_NAME:
        return None
    try:
        return os.open(folder, _WITHOUT_NAME | os.O_RDWR, _MODE)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise


def _open_hidden(name: str, folder: int) -> int:
    _remove(name, folder)
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=folder)


def _link(file: int, name: str, folder: int) -> bool:
    """Give a file its name; return False if the name is taken, or the system cannot do it."""
    try:
        # With `dst_dir_fd`, Python calls linkat, which follows the link in /proc to the file.
        os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=folder, follow_symlinks=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        return False
    return True


def _give_hidden_name(file: int, name: str, folder: int) -> None:
    """Give a complete file a name from which it can be renamed: a link does not replace a file."""
    _remove(name, folder)
    if _link(file, name, folder):
        return
    # Without /proc, a file cannot be linked.
    copy = _open_hidden(name, folder)
    try:
        append_range(file, copy, 0, os.fstat(file).st_size)
    finally:
        os.close(copy)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
