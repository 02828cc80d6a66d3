"""Which share of what the machine can do at most (decode and predict in memory) is reached, by kind of model?

The share is limit / Fleetscore: 1 would be as fast as prediction on arrays that are in memory already.
"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.models import KINDS
from benchmarks.workloads.workload import Workload

_SECONDS_A_MILLION_ROWS = {"light": 0.3, "xgboost": 5, "hist": 12, "lightgbm": 20, "forest": 22, "network": 1}
"""On one core, about; only to give every kind of trees a job of a minute on two."""
_TREES = ("xgboost", "hist", "lightgbm", "forest")


def cases(size: Size) -> Sequence[Case]:
    found = []
    for name in KINDS:
        most = size.of(1_000_000, 24_000_000 if name in _TREES else 8_000_000)
        rows = min(int(size.of(10, 120) / _SECONDS_A_MILLION_ROWS[name] * 1e6), most)
        objects = (rows // 8,) * 8
        found.append(Case(Workload(f"kind-{name}", objects, (name,)), ("in_memory", "article", "fleetscore")))
    return found


if __name__ == "__main__":
    ask("model_kinds", __doc__, cases)
