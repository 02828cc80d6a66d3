"""Empty folders of ended instances, which later instances get instead of new ones.

An instance has about 20 folders. On a disk, making and deleting them takes longer than all other work on a job's files.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import posixpath
import stat
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from embedded.sagemaker.instances.guard import delete_entries, delete_folder

MOST_SPARES = 8
"""Largest number of folders that are kept."""
Layout = tuple[tuple[str, int], ...]
"""Relative paths of folders with their modes, parents first."""
_USUAL = 0
"""Mode in a layout of a folder that is made without a mode of its own."""


class _ChangedFolderError(Exception):
    """A job has left a folder in another state than a new one."""


class SpareFolders:
    """The spare folders below `root`. All methods are thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spares: deque[tuple[Layout, Path]] = deque()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def take(self, layout: Layout, folder: Path) -> bool:
        """Move a spare with this layout to the path of a new folder. Return False if there is none."""
        with self._lock:
            found = next((each for each in self._spares if each[0] == layout), None)
            if found is None:
                return False
            self._spares.remove(found)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            found[1].rename(folder)
        except OSError:
            delete_folder(found[1])
            return False
        return True

    def give(self, layout: Layout, folder: Path) -> None:
        """Empty a folder and keep it as a spare, unless its folders differ from new ones.

        No process may use it any more. The folder stays where it is if it is not kept.
        """
        spare = self._root / str(next(self._numbers))
        try:
            _empty(folder, dict(layout))
            self._root.mkdir(parents=True, exist_ok=True)
            folder.rename(spare)
        except (OSError, RecursionError, _ChangedFolderError):
            return
        with self._lock:
            self._spares.append((layout, spare))
            dropped = self._spares.popleft()[1] if len(self._spares) > MOST_SPARES else None
        if dropped is not None:
            delete_folder(dropped)


def make_folders(root: Path, layout: Layout) -> None:
    """Make a folder with a layout. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    for path, mode in layout:
        made = os.path.join(root, path)  # noqa: PTH118 - an instance has 20 of them
        with contextlib.suppress(FileExistsError):  # a disk that is mounted there
            os.mkdir(made)  # noqa: PTH102
        if mode != _USUAL:
            os.chmod(made, mode)  # noqa: PTH101


def layout_of(paths: Iterable[str], modes: dict[str, int]) -> Layout:
    """Return the layout with some folders and their parents. `modes` has those that are not the usual one."""
    found: dict[str, int] = {}
    for path in (*paths, *modes):
        ahead = []
        while path and path not in found:
            ahead.append(path)
            path = posixpath.dirname(path)  # noqa: PLW2901
        found |= {each: modes.get(each, _USUAL) for each in reversed(ahead)}
    return tuple(found.items())


def _empty(folder: Path, layout: dict[str, int]) -> None:
    """Delete all but the folders of a layout.

    Raises:
        _ChangedFolderError: A folder is missing, or differs from a new one.
        OSError: Something cannot be deleted.
    """
    usual = folder.stat()
    missing = set(layout)

    def empty(descriptor: int, path: str) -> None:
        status = os.fstat(descriptor)
        mode = layout.get(path, _USUAL) or stat.S_IMODE(usual.st_mode)
        is_new = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, usual.st_uid, usual.st_gid)
        if not is_new or os.listxattr(descriptor):
            raise _ChangedFolderError
        missing.discard(path)
        with os.scandir(descriptor) as found:
            entries = list(found)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=descriptor)
                continue
            inner_path = f"{path}/{entry.name}".lstrip("/")
            inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            try:
                if inner_path in layout:
                    empty(inner, inner_path)
                else:
                    delete_entries(inner)
            finally:
                os.close(inner)
            if inner_path not in layout:
                os.rmdir(entry.name, dir_fd=descriptor)

    outer = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        empty(outer, "")
    finally:
        os.close(outer)
    if missing:
        raise _ChangedFolderError
