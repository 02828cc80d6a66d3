"""How long does a job of 1,000 rows take? Most of the time is start-up."""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(_: Size) -> Sequence[Case]:
    return [Case(Workload(f"startup-{kind}", (1_000,), (kind,))) for kind in ("light", "xgboost", "hist")]


if __name__ == "__main__":
    ask("startup", __doc__, cases)
