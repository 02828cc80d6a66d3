"""A worker's files are taken over so that it cannot exchange them, also through open descriptors."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scoring.commits.takeover import TakeoverError, take_file, take_folder
from scoring.separation.worker_user import WorkerUser, make_folder
from tests.unit.scoring.support.separated import open_folder, why_not_separable


def as_worker(action: Callable[[], object]) -> str:
    """Run an action in a child process as the workers' user, and return the name of its error."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(WorkerUser().gid)
        os.setuid(WorkerUser().uid)
        try:
            action()
            outcome = "succeeded"
        except OSError as error:
            outcome = type(error).__name__
        os.write(writing, outcome.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome


def test_taken_folder_is_closed_for_paths_and_descriptors_of_the_worker() -> None:
    if reason := why_not_separable():
        pytest.skip(reason)
    user = WorkerUser()
    with open_folder() as folder:
        (folder / "staging").mkdir(mode=0o700)
        make_folder(folder / "worker", user)
        make_folder(folder / "worker" / "0", user)
        # As permissive as the worker can make them.
        (folder / "worker" / "0").chmod(0o777)
        file = folder / "worker" / "0" / "a.parquet"
        file.write_bytes(b"content")
        os.chown(file, user.uid, user.gid)
        file.chmod(0o4777)
        held = os.open(folder / "worker" / "0", os.O_RDONLY)

        take_folder(folder / "worker" / "0", folder / "staging" / "0", user)
        taken = folder / "staging" / "0" / "a.parquet"
        assert as_worker(lambda: os.unlink("a.parquet", dir_fd=held)) == "PermissionError"
        assert as_worker(lambda: os.symlink("/etc/hostname", "b", dir_fd=held)) == "PermissionError"
        assert as_worker(lambda: os.fchmod(held, 0o777)) == "PermissionError"
        assert as_worker(lambda: taken.open("wb")) == "PermissionError"
        take_file(taken, 7, user)
        assert as_worker(lambda: os.open("a.parquet", os.O_WRONLY, dir_fd=held)) == "PermissionError"
        os.close(held)
        assert (taken.read_bytes(), taken.stat().st_uid, taken.stat().st_mode & 0o7777) == (b"content", 0, 0o644)


def test_files_of_another_user_are_not_taken() -> None:
    if reason := why_not_separable():
        pytest.skip(reason)
    user = WorkerUser()
    with open_folder() as folder:
        (folder / "roots").mkdir()
        with pytest.raises(TakeoverError, match="belongs to user 0, expected user 65530"):
            take_folder(folder / "roots", folder / "taken", user)
        make_folder(folder / "workers", user)
        (folder / "workers" / "a").write_bytes(b"root's")
        take_folder(folder / "workers", folder / "taken too", user)
        with pytest.raises(TakeoverError, match="'a' belongs to user 0, expected user 65530"):
            take_file(folder / "taken too" / "a", 6, user)


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "'a' is missing"),
        (lambda path: path.mkdir(), "'a' is not a regular file"),
        (os.mkfifo, "'a' is not a regular file"),
        (link, "'a' is not a regular file but a link"),
        (lambda path: path.write_bytes(b"other size"), "'a' has 10 bytes, the worker reported 6"),
    ],
)
def test_other_files_than_described_are_refused(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "a")
    with pytest.raises(TakeoverError, match=words):
        take_file(tmp_path / "a", 6, None)
