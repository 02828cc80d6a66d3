"""How fast are objects of very different sizes scored, with the biggest one last?"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    unit = size.of(4_000, 20_000)
    # The biggest comes last in the order of names, which is the order of a naive loop.
    rows = tuple(unit * factor for factor in (1,) * 30 + (2,) * 10 + (8, 16, 50))
    return [
        Case(Workload("skewed-light", rows, ("light",), group_rows=50_000)),
        Case(Workload("skewed-xgboost", rows, ("xgboost",), group_rows=50_000)),
    ]


if __name__ == "__main__":
    ask("skewed_sizes", __doc__, cases)
