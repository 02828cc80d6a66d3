"""How many cores this container may use: the budget that workers and their threads share."""

import math
import os
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def core_budget() -> int:
    """Cores by CPU affinity and by the cgroup's quota, whichever is less; the host may have many more."""
    return max(1, min(_affinity(), _quota(_CGROUP_ROOT, Path("/proc/self/cgroup"))))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path, membership: Path) -> int:
    """Whole cores that the CPU quota allows, rounded up; a large number without a quota.

    A quota may stand in any group above ours, so all of them are read. In a container the group is usually the
    mount's own root, and the path that the kernel names may not exist there.
    """
    quotas = [math.inf]
    for line in _lines(membership):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _with_parents(root, path):
                quota, _, period = _first_line(folder / "cpu.max").partition(" ")
                if quota.isdigit() and period.isdigit():
                    quotas.append(int(quota) / int(period))
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                for folder in _with_parents(root / mount, path):
                    quota = _first_line(folder / "cpu.cfs_quota_us")
                    period = _first_line(folder / "cpu.cfs_period_us")
                    if quota.isdigit() and period.isdigit() and int(period):
                        quotas.append(int(quota) / int(period))
    least = min(quotas)
    return 1_000_000 if math.isinf(least) else max(1, math.ceil(least))


def _with_parents(root: Path, path: str) -> list[Path]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:count]) for count in range(len(parts) + 1)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str:
    lines = _lines(path)
    return lines[0].strip() if lines else ""
