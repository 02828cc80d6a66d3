"""How fast are many small objects scored, when reading, start-up and model loading dominate?"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    rows = (5_000,) * size.of(100, 400)
    return [
        Case(Workload("small-files-light", rows, ("light",)), ("article", "fleetscore", "in_memory")),
        Case(Workload("small-files-xgboost", rows, ("xgboost",)), ("article", "fleetscore", "in_memory")),
    ]


if __name__ == "__main__":
    ask("small_files", __doc__, cases)
