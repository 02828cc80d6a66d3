"""What does scoring with several models in one pass over the data save against one pass a model?"""

from collections.abc import Sequence

from benchmarks.question import Case, Size, ask
from benchmarks.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    found = []
    for count in (1, 10, 50):
        # Fifty outputs of the larger objects would take 22 GB a contender.
        rows = (size.of(25_000, 100_000 if count <= 10 else 25_000),) * (16 if count <= 10 else 8)
        found.append(Case(Workload(f"models-{count}", rows, ("light",) * count), ("passes", "fleetscore")))
    return found


if __name__ == "__main__":
    ask("many_models", __doc__, cases)
