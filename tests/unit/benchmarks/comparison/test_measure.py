"""The usage of a run includes all of its processes."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.comparison.measure import Usage, measure
from benchmarks.contenders.fleetscore import REPOSITORY

BURN = "import time\nwhile time.process_time() < 0.5: pass\n"
ORPHAN = f"""
import subprocess, sys, time
from pathlib import Path
burned = Path("burned")
child = {BURN!r} + "open('burned', 'w').close()\\ntime.sleep(3600)\\n"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
while not burned.exists():
    time.sleep(0.01)
"""
HOLD = "import time\nheld = bytearray(b'x') * 200_000_000\ntime.sleep({seconds})\n"
READY = "from benchmarks.comparison.measure import mark_ready\nmark_ready()\n"


def run(tmp_path: Path, program: str) -> Usage:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return measure([sys.executable, "-c", program], environment, tmp_path, tmp_path / "log")


def test_cpu_time_of_a_child_is_counted(tmp_path: Path) -> None:
    usage = run(tmp_path, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])")
    assert usage.cpu >= 0.5
    assert usage.exit_code == 0


def test_an_orphan_is_terminated_and_its_cpu_time_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, ORPHAN).cpu >= 0.5


def test_peak_memory_is_measured(tmp_path: Path) -> None:
    # Samples are rare while the machine is busy, so hold the memory longer if none saw it.
    peaks = (run(tmp_path, HOLD.format(seconds=seconds)).peak_bytes for seconds in (0.5, 2, 8))
    assert any(peak > 200_000_000 for peak in peaks)


def test_a_failure_keeps_its_exit_status(tmp_path: Path) -> None:
    assert run(tmp_path, "raise SystemExit(7)").exit_code == 7


def test_start_up_time_is_measured_separately(tmp_path: Path) -> None:
    usage = run(tmp_path, f"{BURN}{READY}")
    assert 0.4 < usage.ready_wall <= usage.wall
