"""Is peak memory bounded, whatever the sizes of objects and row groups? Two cores, 30 features."""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload

_BYTES_PER_ROW = 280
"""Approximate size on disk. 30 random doubles hardly compress."""


def cases(size: Size) -> Sequence[Case]:
    megabytes = (10, 100, 1_000, 4_000) if size.full else (10, 100, 400)
    groups = (10_000, 100_000, 1_000_000, 4_000_000) if size.full else (10_000, 1_000_000)
    found = []
    for total in megabytes:
        rows = total * 1_000_000 // _BYTES_PER_ROW
        for group in groups:
            # A row group larger than the file would give the same file again.
            if group <= rows or group == min(g for g in groups if g > rows):
                name = f"memory-{total}MB-groups-of-{min(group, rows):,}"
                found.append(Case(Workload(name, (rows,), ("light",), group_rows=group), ("fleetscore",)))
    return found


if __name__ == "__main__":
    ask("memory", __doc__, cases)
