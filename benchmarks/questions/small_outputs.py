"""How fast are many models scored over many small objects, when each output has few rows?"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    workload = Workload("small-outputs", (500,) * 20, ("light",) * size.of(20, 100))
    return [Case(workload, ("in_memory", "fleetscore", "fleetscore_joined"))]


if __name__ == "__main__":
    ask("small_outputs", __doc__, cases)
