"""How fast are Ray Data, Dask and Spark on the same objects?

`warm` excludes the time before the first row.
"""

import shutil
import sys
from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    contenders = ["article", "fleetscore", "dask_frame", "ray_data"]
    if shutil.which("java"):
        contenders.append("spark")
    else:
        print("Spark is skipped: this machine has no Java (17 or newer is needed).", file=sys.stderr)
    small = (5_000,) * size.of(60, 400)
    big = (size.of(400_000, 1_000_000),)
    return [
        Case(Workload("peers-small-light", small, ("light",)), contenders),
        Case(Workload("peers-small-xgboost", small, ("xgboost",)), contenders),
        Case(Workload("peers-big-light", big, ("light",)), contenders),
        Case(Workload("peers-big-xgboost", big, ("xgboost",)), contenders),
    ]


if __name__ == "__main__":
    ask("peers", __doc__, cases)
