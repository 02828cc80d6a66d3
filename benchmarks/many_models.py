"""What does scoring with several models in one pass over the data save against one pass a model?"""

from collections.abc import Sequence

from benchmarks.question import Case, Size, ask
from benchmarks.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    rows = (size.of(25_000, 100_000),) * 16
    return [Case(Workload(f"models-{count}", rows, ("light",) * count), ("passes", "fleetscore")) for count in (1, 10)]


if __name__ == "__main__":
    ask("many_models", __doc__, cases)
