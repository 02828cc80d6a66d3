"""The arguments, result table and result files that all question scripts share."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.compare import Cell, compare, save
from benchmarks.workloads.models import KINDS
from benchmarks.workloads.workload import Workload

RESULTS = Path(__file__).parents[1] / "results"
CACHE = Path("build/benchmarks").resolve()


@dataclass(frozen=True)
class Size:
    """How much to measure: quick (a few minutes for all questions) or full."""

    full: bool
    repetitions: int

    def of(self, quick: int, full: int) -> int:
        return full if self.full else quick


@dataclass(frozen=True)
class Case:
    """One workload and its contenders. The others are compared with the first contender."""

    workload: Workload
    contenders: Sequence[str] = ("article", "fleetscore")


def ask(
    question: str, doc: str | None, cases: Callable[[Size], Sequence[Case]], *, quick_repetitions: int = 3
) -> list[Cell]:
    """Measure every case, print the table, and save the numbers below `results/`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="use the sizes of the README's table, not the quick ones")
    parser.add_argument(
        "--repetitions", type=int, help=f"runs of each contender (default: {quick_repetitions}, full: 5)"
    )
    parser.add_argument("--only", nargs="*", help="names of workloads")
    options = parser.parse_args()
    size = Size(options.full, options.repetitions or (5 if options.full else quick_repetitions))
    cells = []
    print(f"# {question}: {(doc or '').strip().splitlines()[0]}\n")
    print(HEADER)
    for case in cases(size):
        if options.only and case.workload.name not in options.only:
            continue
        cell = compare(case.workload, case.contenders, repetitions=size.repetitions, cache=CACHE)
        cells.append(cell)
        for line in rows(cell, case.contenders):
            print(line, flush=True)
        # Save after each case, so that an error in a later one does not lose minutes of
        # measurements.
        save(cells, RESULTS / f"{question}{'' if size.full else '-quick'}.json")
    return cells


HEADER = (
    "| workload | contender | wall s | CPU s | peak MB | wall ratio | CPU ratio | memory ratio | warm wall ratio |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def rows(cell: Cell, contenders: Sequence[str]) -> list[str]:
    """Return one table row per contender.

    A ratio above 1 means that the first contender takes more.
    """
    first = contenders[0]
    lines = []
    for name in contenders:
        ratios = ["", "", "", ""]
        if name != first:
            ratios = [_spread(cell.ratio(first, name, what)) for what in ("wall", "cpu", "peak_bytes", "warm_wall")]
        measured = f"{cell.median(name, 'wall'):.2f} | {cell.median(name, 'cpu'):.2f} | "
        measured += f"{cell.median(name, 'peak_bytes') / 1e6:.0f}"
        lines.append(f"| {title(cell.workload)} | {name} | {measured} | {' | '.join(ratios)} |")
    return lines


def title(workload: Workload) -> str:
    kinds = ", ".join(KINDS[name].title for name in dict.fromkeys(workload.models))
    count = f"{len(workload.kinds):,} x " if len(workload.kinds) > 1 else ""
    if workload.routes:
        count = f"a fleet of {count}"
    return f"{workload.name}: {workload.total_rows:,} rows in {len(workload.rows):,} objects; {count}{kinds}"


def _spread(ratio: tuple[float, float, float]) -> str:
    middle, least, greatest = ratio
    return f"**{middle:.2f}** ({least:.2f} to {greatest:.2f})"
