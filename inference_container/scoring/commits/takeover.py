"""Takes over the files that a worker has written, so that model code cannot reach them any more."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scoring.separation.worker_user import WorkerUser

_FILE_MODE = 0o644
_FOLDER_MODE = 0o700


class TakeoverError(Exception):
    """A worker's file or folder cannot be taken over; the text says why."""


def take_folder(folder: Path, target: Path, user: WorkerUser | None) -> None:
    """Move an object's folder out of the worker's folder, and close it for the worker.

    `target` is a path below a folder that the worker cannot enter. Afterwards nobody but this
    process can change which files the folder has: the worker has no path to it, and a descriptor
    of the folder gives it no right to write there.

    Raises TakeoverError when it is not a folder of the worker, and OSError.
    """
    try:
        folder.rename(target)
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) or target.is_symlink():
            raise TakeoverError("its folder is missing or is not a folder") from error
        raise
    try:
        _check_owner(os.fstat(descriptor), user, "its folder")
        if user is not None:
            os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, _FOLDER_MODE)
    finally:
        os.close(descriptor)


def take_file(path: Path, size: int, user: WorkerUser | None) -> None:
    """Become the owner of a file in a folder that `take_folder` has closed.

    A descriptor that the worker keeps can still change the content, and so only falsify the
    worker's own output.

    Raises TakeoverError when it is not a regular file of the worker with this size and without
    another name, and OSError.
    """
    with _opened(path) as descriptor:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise TakeoverError(f"{path.name!r} is not a regular file")
        _check_owner(found, user, repr(path.name))
        if found.st_nlink != 1:
            raise TakeoverError(f"{path.name!r} has {found.st_nlink} names, expected one: it is a hard link")
        if found.st_size != size:
            raise TakeoverError(f"{path.name!r} has {found.st_size:,} bytes, the worker reported {size:,}")
        if user is not None:
            os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, _FILE_MODE)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Without waiting for a writer, if it is a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise TakeoverError(f"{path.name!r} is missing") from error
    except OSError as error:
        if path.is_symlink() or not path.is_file():
            raise TakeoverError(f"{path.name!r} is not a regular file but a link or another special file") from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(found: os.stat_result, user: WorkerUser | None, name: str) -> None:
    expected = os.geteuid() if user is None else user.uid
    if found.st_uid != expected:
        raise TakeoverError(f"{name} belongs to user {found.st_uid}, expected user {expected}, who runs the model")
