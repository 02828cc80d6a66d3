"""The memory that is free for a process."""

from pathlib import Path

import pytest

from contract.free_memory import free_memory

GIB = 2**30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  16777216 kB\nMemAvailable:   8388608 kB\n")
    return tmp_path / "proc"


def test_the_budget_is_the_machines_available_memory(tmp_path: Path, proc: Path) -> None:
    assert free_memory(tmp_path / "none", proc) == 8 * GIB


def test_the_smallest_limit_of_all_control_groups_counts(tmp_path: Path, proc: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/docker/abc\n")
    root = tmp_path / "cgroup"
    (root / "docker" / "abc").mkdir(parents=True)
    (root / "docker" / "memory.max").write_text(f"{4 * GIB}\n")
    (root / "docker" / "memory.current").write_text(f"{2 * GIB}\n")
    (root / "docker" / "abc" / "memory.max").write_text("max\n")
    assert free_memory(root, proc) == 3 * GIB


def test_control_groups_of_version_1_are_read(tmp_path: Path, proc: Path) -> None:
    (proc / "self" / "cgroup").write_text("4:memory:/docker/abc\n")
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    (tmp_path / "cgroup" / "memory" / "memory.limit_in_bytes").write_text(f"{GIB}\n")
    assert free_memory(tmp_path / "cgroup", proc) == GIB
