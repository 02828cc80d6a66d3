"""The folders that a training script may write to, and what is checked in them afterwards.

A script is the user's code. As another user it can write only to the folders of the model, the
checkpoints and its output data, to its code and home folders, and to the failure file. When all its
processes have ended, this process owns the folders again.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from contract.archives import MAX_MEMBERS
from contract.container_paths import TrainingPaths
from scoring.errors import ModelError, describe_error
from scoring.job_log.events import log_event
from scoring.separation.file_modes import change_owner, delete_tree
from scoring.separation.worker_user import WorkerUser, find_worker_user

_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
_FAILURE_BYTES = 64 << 10
_LOGGED_FILES = 20


class ScriptFolders:
    """The folders of a script. `user` is the script's own user; None if it cannot be separated."""

    def __init__(self, paths: TrainingPaths, scratch: Path) -> None:
        self._paths = paths
        self._scratch = scratch
        self.code = scratch / "code"
        self.home = scratch / "home"
        self.user: WorkerUser | None = None

    def hand_over(self) -> None:
        """Let the script's user write to its folders; without such a user the log says why."""
        for folder in (self.home, *self._folders()):
            folder.mkdir(parents=True, exist_ok=True)
        user, reason = find_worker_user(self._paths.root, self._scratch)
        if user is not None:
            try:
                for folder in (self.code, self.home, *self._folders()):
                    change_owner(folder, user.uid)
                # The script can write the file and not replace it, because the file's folder stays
                # closed.
                self._paths.failure.touch()
                os.chown(self._paths.failure, user.uid, user.gid)
            except OSError as error:
                user, reason = None, f"the script's folders cannot be handed over ({describe_error(error)})"
        self.user = user
        if user is None:
            consequence = "the training script can change all files of this job; the job goes on"
            log_event("workers_not_separated", reason=reason, consequence=consequence)

    def take_back(self) -> None:
        """Own the folders again, and delete links and special files outside of the model's folder.

        Call it when no process of the script runs.
        """
        if self.user is not None:
            for folder in self._folders():
                change_owner(folder, os.geteuid())
        for number, path in enumerate([*_special(self._paths.output_data), *_special(self._paths.checkpoints)]):
            path.unlink()
            if number < _LOGGED_FILES:
                log_event("file_removed", file=str(path), reason="it is a link or a special file")

    def failure(self) -> str:
        """Return the beginning of what the script has written to the failure file, and delete it."""
        path = self._paths.failure
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                text = file.read(_FAILURE_BYTES).decode("utf-8", "replace") if _is_regular(file.fileno()) else ""
        except OSError:
            text = ""
        path.unlink(missing_ok=True)
        return text.strip()

    def check_model(self) -> None:
        """Check that the model's folder has files and folders only, and let all users read them.

        Raises ModelError naming the first link or special file, because no job would unpack it.
        """
        if self._paths.report.is_symlink() or self._paths.report.exists():
            log_event("file_removed", file=self._paths.report.name, reason="the report is not the script's to write")
            _remove(self._paths.report)
        for path in _special(self._paths.model):
            raise ModelError(
                f"the training script left {path.relative_to(self._paths.model).as_posix()!r} in SM_MODEL_DIR, which "
                "is a link or a special file: copy the file itself there"
            )
        count = 0
        for folder, folders, files in os.walk(self._paths.model):
            count += len(folders) + len(files)
            Path(folder).chmod(_FOLDER_MODE)
            for name in files:
                Path(folder, name).chmod(_FILE_MODE)
        if count > MAX_MEMBERS:
            raise ModelError(
                f"the training script left {count:,} files and folders in SM_MODEL_DIR, at most {MAX_MEMBERS:,} are "
                "unpacked: write fewer, larger files"
            )

    def _folders(self) -> tuple[Path, ...]:
        return self._paths.model, self._paths.output_data, self._paths.checkpoints


def _special(root: Path) -> Iterator[Path]:
    """Yield what is neither a folder nor a regular file with one name."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) and not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
                yield path


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        delete_tree(path)
    else:
        path.unlink(missing_ok=True)
