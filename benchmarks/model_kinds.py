"""Which share of what the machine can do at most (decode and predict in memory) is reached, by kind of model?

The share is limit / Fleetscore: 1 would be as fast as prediction on arrays that are in memory already.
"""

from collections.abc import Sequence

from benchmarks.models import KINDS
from benchmarks.question import Case, Size, ask
from benchmarks.workload import Workload

_SECONDS_A_MILLION_ROWS = {"light": 0.3, "xgboost": 5, "hist": 12, "lightgbm": 20, "forest": 22, "network": 1}
"""On one core, about; only to give every kind a job that lasts long enough."""


def cases(size: Size) -> Sequence[Case]:
    found = []
    for name in KINDS:
        seconds = size.of(10, 60)
        rows = min(int(seconds / _SECONDS_A_MILLION_ROWS[name] * 1e6), size.of(1_000_000, 8_000_000))
        objects = (rows // 8,) * 8
        found.append(Case(Workload(f"kind-{name}", objects, (name,)), ("limit", "article", "fleetscore")))
    return found


if __name__ == "__main__":
    ask("model_kinds", __doc__, cases)
