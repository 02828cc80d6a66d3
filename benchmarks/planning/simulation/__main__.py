"""Is the planner cheap and in time? Simulate executions, and compare with fixed packing and lower bounds."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.planning.simulation.compare import Comparison, OfDeadline, at_bound, compare
from benchmarks.planning.simulation.scenarios import Scenario, many_datasets, skewed, small_models

RESULTS = Path(__file__).parents[2] / "results" / "planner.json"
_SCENARIOS: tuple[tuple[Scenario, int, int], ...] = (
    (small_models(10), 20, 60),
    (small_models(100), 20, 30),
    (small_models(1_000), 10, 20),
    (small_models(10_000), 3, 2),
    (small_models(100_000), 1, 1),
    (skewed(100), 20, 30),
    (skewed(1_000), 10, 20),
    (skewed(10_000), 2, 1),
    (many_datasets(100), 20, 30),
    (many_datasets(1_000), 6, 12),
    (many_datasets(10_000), 1, 1),
)
"""Scenarios, each with its number of seeds, and that of deadlines at the earliest safe end alone."""
_LARGE = (("10000", "10", "own"), ("1000", "10000", "shared"), ("1000", "10000", "own"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all seeds, and write the results; else a tenth of them")
    parser.add_argument("--only", default="", help="only scenarios whose name and models begin so, such as small-10")
    parser.add_argument("--processes", type=int, default=1, help="scenarios at once (default: %(default)s)")
    parser.add_argument(
        "--first-seed", type=int, metavar="N", help="only deadlines at the earliest safe end, with seeds from N on"
    )
    arguments = parser.parse_args()
    chosen = [each for each in _SCENARIOS if f"{each[0].name}-{each[0].models}".startswith(arguments.only)]
    share = 1 if arguments.full else 10
    with ProcessPoolExecutor(arguments.processes) as pool:
        if arguments.first_seed is None:
            _compare_ways(pool, chosen, share, write=arguments.full and not arguments.only)
        else:
            _test_the_bound(pool, chosen, share, arguments.first_seed, write=arguments.full)


def _compare_ways(pool: Executor, chosen: Sequence[tuple[Scenario, int, int]], share: int, *, write: bool) -> None:
    found = []
    for result in pool.map(compare, [each[0] for each in chosen], [max(1, each[1] // share) for each in chosen]):
        found.append(asdict(result))
        _show(result)
    if write:
        _write({"comparisons": found, "planning": [_plan(*large) for large in _LARGE]})


def _test_the_bound(
    pool: Executor, chosen: Sequence[tuple[Scenario, int, int]], share: int, first_seed: int, *, write: bool
) -> None:
    """Test deadlines at the earliest safe end. Results of scenarios that were not chosen stay."""
    scenarios, seeds = [each[0] for each in chosen], [max(1, each[2] // share) for each in chosen]
    for result in pool.map(at_bound, scenarios, seeds, [first_seed] * len(chosen)):
        print(f"{result.scenario}, {result.models:,} models, seeds {first_seed} to {first_seed + result.seeds - 1}")
        _show_deadline(result.found)
        if write:
            others = [each for each in _results().get("at_bound", []) if _name(each) != _name(asdict(result))]
            _write({"at_bound": [*others, asdict(result)]})


def _name(result: dict[str, Any]) -> tuple[str, int]:
    return result["scenario"], result["models"]


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding="utf-8")))


def _write(changed: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps({**_results(), **changed}, indent=1) + "\n", encoding="utf-8")


def _plan(*arguments: str) -> object:
    command = [sys.executable, "-m", "benchmarks.planning.simulation.resources", *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    print(text.strip(), flush=True)
    return json.loads(text)


def _show(result: Comparison) -> None:
    print(f"{result.scenario}, {result.models:,} models, {result.seeds} seeds: at least {result.cost_bound:.2f} USD")
    for way in result.ways:
        print(
            f"  {way.way:12} {way.cost:10.2f} USD, {way.cost_to_bound:6.2f} of the bound, {way.hours:7.2f} h, "
            f"{way.jobs:,.0f} jobs"
        )
    for found in result.deadlines:
        _show_deadline(found)


def _show_deadline(found: OfDeadline) -> None:
    print(
        f"  deadline {found.deadline:g} x {found.hours / found.deadline:.2f} h: met {found.met} of "
        f"{found.executions}, cost {found.cost_to_bound:.2f} of the bound",
        flush=True,
    )


if __name__ == "__main__":
    main()
