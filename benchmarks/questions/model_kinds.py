"""How close is Fleetscore to decoding and predicting in memory, for each kind of model?

The ratio is in_memory / Fleetscore: 1 means as fast as decoding and predicting in memory.
"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload

_SECONDS_PER_MILLION_ROWS = {"light": 0.3, "xgboost": 5, "hist": 12, "lightgbm": 20, "forest": 22, "network": 1}
"""Approximate time on one core.

Sizes the jobs so that each kind of trees takes a minute on two cores.
"""
_TREES = ("xgboost", "hist", "lightgbm", "forest")


def cases(size: Size) -> Sequence[Case]:
    found = []
    for name, seconds in _SECONDS_PER_MILLION_ROWS.items():
        most = size.of(1_000_000, 24_000_000 if name in _TREES else 8_000_000)
        rows = min(int(size.of(4, 120) / seconds * 1e6), most)
        objects = (rows // 8,) * 8
        found.append(Case(Workload(f"kind-{name}", objects, (name,)), ("in_memory", "article", "fleetscore")))
    return found


if __name__ == "__main__":
    ask("model_kinds", __doc__, cases, quick_repetitions=1)
