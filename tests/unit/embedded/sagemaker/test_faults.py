"""Faults: scheduled by one process, and injected once into a job of another process."""

import threading
from pathlib import Path

import pytest

from embedded import faults as command
from embedded.sagemaker.faults import Faults, InterruptionWatch, SpotInterruption
from embedded.server import programs


def watch(faults: Faults, name: str = "train-1", checkpoints: int = 0, *lines: str) -> bool:
    """Return whether a job with these checkpoints and lines of output is interrupted."""
    looking = InterruptionWatch(faults, name, checkpoints=lambda: checkpoints)
    for line in lines:
        looking.line(line)
    over, interrupted = threading.Event(), threading.Event()
    over.set()
    looking.watch(over, interval_seconds=60, interrupt=interrupted.set)
    return interrupted.is_set()


def test_a_fault_interrupts_a_matching_job_once(tmp_path: Path) -> None:
    Faults(tmp_path).interrupt_spot("train-?", after_checkpoints=2, after_log="round [0-9]")
    other = Faults(tmp_path)  # as another process sees them
    assert not watch(other, "train-10", 2, "round 1")
    assert not watch(other, "train-1", 1, "round 1")
    assert not watch(other, "train-1", 2, "no rounds")
    assert other.pending() == [SpotInterruption("train-?", 2, "round [0-9]")]
    assert watch(other, "train-1", 2, "no rounds", "in round 1")
    assert other.pending() == []
    assert not watch(other, "train-1", 2, "in round 1")


def test_one_fault_at_most_interrupts_an_attempt(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    faults.interrupt_spot("*", times=3)
    assert watch(faults)
    assert len(faults.pending()) == 2
    assert faults.cancel() == 2
    assert not watch(faults)


def test_an_invalid_fault_is_refused_with_all_problems(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"job_name: it is empty.*after_checkpoints: -1.*after_log: '\(' is not a regular"
    ):
        Faults(tmp_path).interrupt_spot("", after_checkpoints=-1, after_log="(")
    with pytest.raises(ValueError, match="times: 0 is too few"):
        Faults(tmp_path).interrupt_spot("*", times=0)
    assert Faults(tmp_path).pending() == []


def test_the_command_needs_a_running_embedded_aws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--state-dir", str(tmp_path), "interrupt-spot", "*"]) == 1
    assert "Start one with `fleetscore up`" in capsys.readouterr().err


def test_the_command_schedules_and_cancels_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "running_root", lambda state_dir: state_dir / "aws")

    def call(*words: str) -> tuple[int, str]:
        status = command.main(["--state-dir", str(tmp_path), *words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    fault = "SpotInterruption(job_name='churn-*', after_checkpoints=1, after_log=None)\n"
    assert call("interrupt-spot", "churn-*", "--after-checkpoints", "1") == (0, fault)
    assert call("pending") == (0, fault)
    assert watch(Faults(tmp_path / "aws/sagemaker"), "churn-7", 1)
    assert call("pending") == (0, "")
    assert call("interrupt-spot", "*", "--times", "0")[0] == 2
    call("interrupt-spot", "*", "--times", "2")
    assert call("cancel") == (0, "2 cancelled\n")
