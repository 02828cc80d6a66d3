"""How fast is each row scored by the model of its route, with many small models?

`warm` excludes the time before the first row.
"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.questions import with_spark
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    contenders = with_spark(["fleets.pandas_apply", "fleetscore", "fleets.ray_map_groups"], "fleets.spark_apply")
    # A thousand jobs that read all rows take an hour, a hundred a minute or two.
    filtering = [] if size.full else ["fleets.filtering_jobs"]
    rows = (size.of(10_000, 100_000),) * 20
    routes = size.of(100, 1_000)
    return [
        Case(Workload("fleet-light", rows, ("light",), routes=routes), [*contenders, *filtering]),
        Case(Workload("fleet-xgboost", rows, ("small-xgboost",), routes=routes), contenders),
    ]


if __name__ == "__main__":
    # Ray and Spark take about 10 seconds to start.
    ask("fleets", __doc__, cases, quick_repetitions=1)
