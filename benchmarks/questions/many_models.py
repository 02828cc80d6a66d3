"""How much faster is one pass with several models than one pass per model?

`fleetscore` writes one output per model, `fleetscore_joined` one for all of them.
"""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    few: tuple[int, ...] = (size.of(25_000, 100_000),) * 16
    found = [("models-1", 1, few), ("models-10", 10, few)]
    if size.full:
        # Fifty outputs of the larger objects would take 22 GB per contender.
        found.append(("models-50", 50, (25_000,) * 8))
    contenders = ("passes", "fleetscore", "fleetscore_joined")
    return [Case(Workload(name, rows, ("light",) * count), contenders) for name, count, rows in found]


if __name__ == "__main__":
    ask("many_models", __doc__, cases)
