"""The folder for unfinished work: where there is room, and where nothing is uploaded."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scoring.errors import MORE_ROOM, ConfigurationError, describe_error
from scoring.files.mounts import mount_of
from scoring.separation.file_modes import delete_tree

SCRATCH_NAME = ".unfinished"
_MODE = 0o755


@contextmanager
def scratch_folder(parents: Sequence[Path], renamed_to: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a new folder below one of `parents` or below the system's temporary folder.

    It is below the first of `parents` if files can be renamed from there into all folders of
    `renamed_to`. Otherwise it is where most bytes are free. Disks before memory, since a job's
    memory is for its models. At the end the folder is deleted.

    Raises ConfigurationError if it cannot be created anywhere.
    """
    for parent in parents:
        delete_tree(parent / SCRATCH_NAME)  # of a container that was killed
    folder = _create(_by_preference(parents, renamed_to))
    try:
        yield folder
    finally:
        delete_tree(folder)


def renames(source: Path, target: Path) -> bool:
    """Return whether files can be renamed from one existing folder into another."""
    return mount_of(source).id == mount_of(target).id


def _by_preference(parents: Sequence[Path], renamed_to: Sequence[Path]) -> list[Path]:
    for folder in (parents[0], *renamed_to):
        folder.mkdir(parents=True, exist_ok=True)
    if renamed_to and all(renames(parents[0], target) for target in renamed_to):
        return [parents[0]]
    found = [parent for parent in (*parents, Path(tempfile.gettempdir())) if parent.is_dir()]
    # Measured once per disk, so that the first of several folders of a disk is chosen.
    devices = {parent: parent.stat().st_dev for parent in found}
    free = {device: shutil.disk_usage(parent).free for parent, device in devices.items()}
    return sorted(found, key=lambda parent: (mount_of(parent).is_in_memory, -free[devices[parent]]))


def _create(parents: Sequence[Path]) -> Path:
    problems = []
    for parent in parents:
        try:
            # Other programs use the temporary folder too, also those of other jobs.
            if parent == Path(tempfile.gettempdir()):
                folder = Path(tempfile.mkdtemp(prefix="fleetscore-"))
            else:
                folder = parent / SCRATCH_NAME
                folder.mkdir()
            folder.chmod(_MODE)
        except OSError as error:
            problems.append(f"{parent}: {os.strerror(error.errno) if error.errno else describe_error(error)}")
        else:
            return folder
    raise ConfigurationError(
        f"no folder for unfinished work can be created ({'; '.join(problems)}): {MORE_ROOM}, or check that the job's "
        "folders can be written"
    )
