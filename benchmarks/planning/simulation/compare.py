"""Compare the planner with fixed packing and with the lower bounds, over seeds."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from benchmarks.planning.simulation.bounds import cost_bound, time_bound
from benchmarks.planning.simulation.execution import Item, Noise, Outcome, packed_items, planned_items, simulate
from benchmarks.planning.simulation.reference import safe_time_bound
from benchmarks.planning.simulation.scenarios import Draw, Scenario
from contract.planner.algorithm.best import best_plan
from contract.planner.algorithm.preparation import prepare

PACKINGS = (1, 10, 100)
"""Fixed numbers of models per job."""
DEADLINES = (1.0, 1.25, 1.5, 2.0)
"""Deadlines as multiples of `safe_time_bound`."""
EXECUTIONS = 10
"""Times that each plan with a deadline is executed, with a noise of its own each time."""
NOISE = Noise()


@dataclass(frozen=True)
class Compared:
    """Means over the seeds."""

    way: str
    """`planner`, or how models are packed."""
    cost: float
    """US dollars."""
    cost_to_bound: float
    hours: float
    jobs: float


@dataclass(frozen=True)
class OfDeadline:
    """Executions with a deadline."""

    deadline: float
    """As a multiple of `safe_time_bound`."""
    hours: float
    """Mean deadline in hours."""
    executions: int
    """Of all seeds."""
    met: int
    """Executions that ended in time."""
    cost_to_bound: float


@dataclass(frozen=True)
class Comparison:
    """The result of a scenario."""

    scenario: str
    models: int
    seeds: int
    cost_bound: float
    """Means over the seeds, in US dollars and hours."""
    time_bound_hours: float
    ways: tuple[Compared, ...]
    deadlines: tuple[OfDeadline, ...]

    def way(self, name: str) -> Compared:
        return next(way for way in self.ways if way.way == name)


class _Planner:
    """Plans one draw with several deadlines."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._problem = draw.problem()
        self._prepared = prepare(self._problem)

    def items(self, deadline_seconds: float | None = None) -> list[Item]:
        problem = replace(self._problem, deadline_seconds=deadline_seconds)
        return planned_items(self._draw, best_plan(problem, self._prepared))


@dataclass(frozen=True)
class AtBound:
    """Executions with the earliest safe end as their deadline."""

    scenario: str
    models: int
    first_seed: int
    seeds: int
    found: OfDeadline


def compare(scenario: Scenario, seeds: int, deadlines: Iterable[float] = DEADLINES) -> Comparison:
    """Simulate a scenario with as many seeds. Each draws its own models, data, samples and noise."""
    draws = [scenario.draw(seed) for seed in range(seeds)]
    bounds = [cost_bound(draw) for draw in draws]
    planners = [_Planner(draw) for draw in draws]
    ways = [_compare("planner", draws, bounds, [planner.items() for planner in planners])]
    for size in PACKINGS:
        if size <= scenario.models:
            items = [packed_items(draw, size) for draw in draws]
            ways.append(_compare(f"{size} per job", draws, bounds, items))
    return Comparison(
        scenario=scenario.name,
        models=scenario.models,
        seeds=seeds,
        cost_bound=mean(bounds),
        time_bound_hours=mean(time_bound(draw) for draw in draws) / 3_600,
        ways=tuple(ways),
        deadlines=tuple(_with_deadline(draws, planners, factor) for factor in deadlines),
    )


def at_bound(scenario: Scenario, seeds: int, first_seed: int) -> AtBound:
    """Simulate deadlines at the earliest safe end, with as many seeds from the first one on."""
    draws = [scenario.draw(first_seed + number) for number in range(seeds)]
    found = _with_deadline(draws, [_Planner(draw) for draw in draws], 1.0)
    return AtBound(scenario.name, scenario.models, first_seed, seeds, found)


def _compare(way: str, draws: Sequence[Draw], bounds: Sequence[float], items: Sequence[Sequence[Item]]) -> Compared:
    outcomes = [_run(draw, each) for draw, each in zip(draws, items, strict=True)]
    return Compared(
        way=way,
        cost=mean(outcome.cost for outcome in outcomes),
        cost_to_bound=mean(outcome.cost / bound for outcome, bound in zip(outcomes, bounds, strict=True)),
        hours=mean(outcome.makespan for outcome in outcomes) / 3_600,
        jobs=mean(len(each) for each in items),
    )


def _with_deadline(draws: Sequence[Draw], planners: Sequence[_Planner], factor: float) -> OfDeadline:
    met, ratios, ends = 0, [], []
    executions = range(EXECUTIONS)
    for draw, planner in zip(draws, planners, strict=True):
        deadline = factor * safe_time_bound(draw, NOISE)
        items = planner.items(deadline)
        outcomes = [_run(draw, items, number) for number in executions]
        met += sum(outcome.makespan <= deadline and not outcome.failed_jobs for outcome in outcomes)
        ratios.append(mean(outcome.cost for outcome in outcomes) / cost_bound(draw, deadline))
        ends.append(deadline)
    return OfDeadline(factor, mean(ends) / 3_600, len(draws) * len(executions), met, mean(ratios))


def _run(draw: Draw, items: Sequence[Item], number: int = 0) -> Outcome:
    scenario = draw.scenario
    rng = random.Random(f"{scenario.name}/{scenario.models}/{draw.seed}/execution/{number}")  # noqa: S311 - a simulation
    return simulate(items, max_concurrency=scenario.max_concurrency, quotas=scenario.quotas, noise=NOISE, rng=rng)
