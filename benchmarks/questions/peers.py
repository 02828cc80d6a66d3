"""How fast are Polars in threads, Daft, Dask, Ray Data and Spark on the same objects?

`warm` excludes the time before the first row.
"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.questions import with_spark
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    peers = ["article", "fleetscore", "polars_threads", "daft_frame", "dask_frame", "ray_data"]
    contenders = with_spark(peers, "spark")
    small = (5_000,) * size.of(60, 400)
    big = (size.of(400_000, 1_000_000),)
    return [
        Case(Workload("peers-small-light", small, ("light",)), contenders),
        Case(Workload("peers-small-xgboost", small, ("xgboost",)), contenders),
        Case(Workload("peers-big-light", big, ("light",)), contenders),
        Case(Workload("peers-big-xgboost", big, ("xgboost",)), contenders),
    ]


if __name__ == "__main__":
    # Ray and Spark take about 10 seconds to start.
    ask("peers", __doc__, cases, quick_repetitions=1)
