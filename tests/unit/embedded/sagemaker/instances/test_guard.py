"""Cleanup after the embedded AWS was killed."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.sagemaker.instances import guard

OWNER = """
import subprocess, sys
from pathlib import Path
from embedded.sagemaker.instances.guard import Guard
guard = Guard()
guard.watch_folder(Path(sys.argv[1]))
for ended in (False, True):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    guard.group_begins(child.pid)
    if ended:
        guard.group_ended(child.pid)
    print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waiting for a process that is not a child needs pidfd")
def test_the_guard_cleans_up_after_its_owner_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        running, ended = (int(owner.stdout.readline()) for _ in range(2))
        watched = os.pidfd_open(running)
        try:
            owner.kill()
            assert select.select([watched], [], [], 30)[0], "the guard has not killed the group"
            os.kill(ended, 0)
        finally:
            os.close(watched)
            os.kill(ended, signal.SIGKILL)
    assert not folder.exists() or not any(folder.iterdir())


@pytest.fixture
def ml_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(guard, "ML_ROOT", tmp_path / "opt" / "ml")
    return guard.ML_ROOT


def test_the_last_user_removes_a_created_mount_point(ml_root: Path) -> None:
    first, second = guard.acquire_mount_point(), guard.acquire_mount_point()
    os.close(first)
    guard.remove_mount_point()
    assert ml_root.is_dir()
    os.close(second)
    guard.remove_mount_point()
    assert not ml_root.exists()


def test_an_existing_mount_point_is_kept(ml_root: Path) -> None:
    ml_root.mkdir(parents=True)
    os.close(guard.acquire_mount_point())
    guard.remove_mount_point()
    assert ml_root.is_dir()
