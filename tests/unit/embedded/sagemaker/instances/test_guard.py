"""Cleanup after the embedded AWS was killed."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
