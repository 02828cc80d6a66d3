"""How fast are CSV and JSON Lines scored? The article's loop reads them with pandas."""

from collections.abc import Sequence

from benchmarks.comparison.question import Case, Size, ask
from benchmarks.workloads.workload import Workload


def cases(size: Size) -> Sequence[Case]:
    rows = (size.of(10_000, 50_000),) * 16
    return [
        Case(Workload("csv-light", rows, ("light",), form="csv")),
        Case(Workload("jsonl-light", rows, ("light",), form="jsonl")),
    ]


if __name__ == "__main__":
    ask("text_formats", __doc__, cases)
