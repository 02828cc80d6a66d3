import os
from pathlib import Path

import pytest

from scoring.supervision.cores import cgroup_quota, core_budget


def cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 1_000_000),
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1),
        ("0::/docker/abc\n", {"cpu.max": "300000 100000\n"}, 3),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu,cpuacct:/x\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 1_000_000),
        ("", {}, 1_000_000),
    ],
)
def test_cgroup_quota_limits_the_cores(tmp_path: Path, membership: str, files: dict[str, str], cores: int) -> None:
    (tmp_path / "membership").write_text(membership)
    assert cgroup_quota(cgroup(tmp_path / "cgroup", files), tmp_path / "membership") == cores


def test_cpu_affinity_limits_the_cores() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert core_budget() == 1
    finally:
        os.sched_setaffinity(0, before)
