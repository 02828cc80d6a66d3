"""Estimates the memory that is free for this process."""

from pathlib import Path

UNKNOWN_BYTES = 2**60
"""Estimate where the system does not say; more than any machine has."""
_CGROUP_ROOT = Path("/sys/fs/cgroup")


def free_memory(root: Path = _CGROUP_ROOT, proc: Path = Path("/proc")) -> int:
    """Return the bytes available to this process, or `UNKNOWN_BYTES`.

    It is the smallest of the machine's free memory and the free memory of every control group of
    the process.
    """
    limits = [_available(proc / "meminfo")]
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = [part for part in path.split("/") if part not in ("", "..")]
        if number == "0" and not controllers:
            mount, limit_name, used_name = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit_name, used_name = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        for count in range(len(parts) + 1):
            folder = mount.joinpath(*parts[:count])
            limit, used = _text(folder / limit_name).strip(), _text(folder / used_name).strip()
            if limit.isdigit():
                # Part of a group's usage is page cache, which can be dropped: half of it counts as
                # free.
                limits.append(int(limit) - (int(used) // 2 if used.isdigit() else 0))
    return max(0, min(limits))


def _available(path: Path) -> int:
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1_024
    return UNKNOWN_BYTES


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
