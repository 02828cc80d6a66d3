"""The process of one instance."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.sagemaker.instances.instance import Instance


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="checking whether a process was reaped needs waitid")
def test_terminate_does_not_reap_an_ended_process(tmp_path: Path) -> None:
    instance = Instance("algo-1", tmp_path)
    process = instance._process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    instance.terminate()
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert process.wait() == 3
