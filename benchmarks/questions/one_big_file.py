"""How fast is one big object scored, with many row groups and with a single one?"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    rows = size.of(600_000, 2_000_000)
    contenders = ("article", "fleetscore", "in_memory")
    return [
        Case(Workload("many-groups-light", (rows,), ("light",)), contenders),
        Case(Workload("one-group-light", (rows,), ("light",), group_rows=rows), contenders),
        Case(Workload("many-groups-xgboost", (rows // 2,), ("xgboost",)), contenders),
        Case(Workload("one-group-xgboost", (rows // 2,), ("xgboost",), group_rows=rows), contenders),
    ]


if __name__ == "__main__":
    ask("one_big_file", __doc__, cases)
