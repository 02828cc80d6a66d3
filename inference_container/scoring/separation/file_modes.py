"""Modes, owners and deletion of the files that model code may read or write."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

_READABLE_FOLDER = 0o555
_READABLE_FILE = 0o444
_WRITABLE_BY_OTHERS = 0o022


def close_to_others(root: Path, uid: int, *, skipped: Path) -> None:
    """Let all users read everything below `root`, and only root write.

    Modes that are right stay as they are, so a mount may be read-only. Links, and what is below
    `skipped`, stay as they are.

    Raises OSError when a mode cannot be set.
    """
    _close(root, root.stat(), uid)
    folders = [os.fspath(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.path == os.fspath(skipped):
                    continue
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(entry.path)
                elif not stat.S_ISREG(found.st_mode):
                    continue
                _close(entry.path, found, uid)


def _close(path: str | Path, found: os.stat_result, uid: int) -> None:
    if found.st_uid == uid:
        os.chown(path, 0, 0)
    mode = stat.S_IMODE(found.st_mode)
    wanted = (mode | (_READABLE_FOLDER if stat.S_ISDIR(found.st_mode) else _READABLE_FILE)) & ~_WRITABLE_BY_OTHERS
    if wanted != mode:
        Path(path).chmod(wanted)


def change_owner(root: Path, uid: int) -> None:
    """Make a user the owner of a folder and of everything in it; links are not followed.

    Only while no process of that user runs.
    """
    os.chown(root, uid, uid)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.chown(Path(folder, name), uid, uid, follow_symlinks=False)


def delete_tree(folder: Path) -> None:
    """Delete a folder that model code may have filled, as far as it can be deleted."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:  # before Python 3.13, from about 1,000 nested folders
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False)  # noqa: S603, S607 - part of every image
