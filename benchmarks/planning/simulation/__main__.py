"""Is the planner cheap and in time? Simulate executions, and compare with fixed packing and lower bounds."""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.planning.simulation.compare import Comparison, compare
from benchmarks.planning.simulation.scenarios import Scenario, many_datasets, skewed, small_models

RESULTS = Path(__file__).parents[2] / "results" / "planner.json"
_SCENARIOS: tuple[tuple[Scenario, int], ...] = (
    (small_models(10), 20),
    (small_models(100), 20),
    (small_models(1_000), 10),
    (small_models(10_000), 3),
    (small_models(100_000), 1),
    (skewed(100), 20),
    (skewed(1_000), 10),
    (skewed(10_000), 2),
    (many_datasets(100), 20),
    (many_datasets(1_000), 6),
    (many_datasets(10_000), 1),
)
"""Scenarios, each with its number of seeds."""
_LARGE = (("10000", "10", "own"), ("1000", "10000", "shared"), ("1000", "10000", "own"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all seeds, and write the results; else a tenth of them")
    parser.add_argument("--only", default="", help="only scenarios whose name and models begin so, such as small-10")
    parser.add_argument("--processes", type=int, default=1, help="scenarios at once (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = [
        (scenario, seeds if arguments.full else max(1, seeds // 10))
        for scenario, seeds in _SCENARIOS
        if f"{scenario.name}-{scenario.models}".startswith(arguments.only)
    ]
    found = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for result in pool.map(compare, *zip(*chosen, strict=True)):
            found.append(result)
            _show(result)
    planning = [] if arguments.only else [_plan(*large) for large in _LARGE]
    if arguments.full and not arguments.only:
        results = {"comparisons": [asdict(result) for result in found], "planning": planning}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


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
        print(
            f"  deadline {found.deadline:g} x {found.hours / found.deadline:.2f} h: met {found.met} of "
            f"{found.executions}, cost {found.cost_to_bound:.2f} of the bound",
            flush=True,
        )


if __name__ == "__main__":
    main()
