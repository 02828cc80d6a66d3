"""The core budget of this container, shared by all workers and their threads."""

import math
import os
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def core_budget() -> int:
    """Return the cores allowed by CPU affinity and by the cgroup quota, whichever is less."""
    return max(1, min(_affinity(), cgroup_quota(_CGROUP_ROOT, Path("/proc/self/cgroup"))))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path, membership: Path) -> int:
    """Return the cores that the CPU quota allows, rounded up, or 1,000,000 without a quota.

    Any parent group may set a quota, so all parents are read. In a container the group is usually
    the root of the mount, and the path that the kernel reports may not exist there.
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
