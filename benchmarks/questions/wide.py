"""How fast, and in how much memory, are rows of 500 features scored?"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    rows = (size.of(5_000, 25_000),) * 16
    return [
        Case(Workload("wide-light", rows, ("light",), features=500)),
        Case(Workload("wide-xgboost", rows, ("xgboost",), features=500)),
    ]


if __name__ == "__main__":
    ask("wide", __doc__, cases)
