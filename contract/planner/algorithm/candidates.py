"""Plans that may be the best: for sets of instance types and durations of the longest job."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from statistics import NormalDist

from contract.planner.algorithm.assign import assignments
from contract.planner.algorithm.options import Option
from contract.planner.algorithm.preparation import Preparation
from contract.planner.algorithm.schedule import Item, Schedule, schedule
from contract.planner.algorithm.work import GroupWork
from contract.planner.problem import PlanningProblem

_STEPS = 20
"""Durations of the longest job that are tried between the shortest and the longest useful one."""
_FEW_STEPS = 6
_MANY_GROUPS = 500
"""Number of groups with several options above which fewer durations are tried."""
_DEADLINE_SHARES = (0.95, 0.8, 0.65, 0.5, 0.4, 1 / 3, 0.25, 0.2, 0.15, 0.1)
NO_DEADLINE_SPARE = 1.05
"""Without a deadline, a plan may cost this much more than the cheapest if it ends earlier."""
TIME_SPARE = 1.02
"""With the objective `time` or a deadline that is missed, a plan may take this much longer than the fastest if it is
cheaper."""
_RETRY_SECONDS = 60.0
"""Time between the failure of an attempt and the next one."""
_FEW = 5
"""Candidates that are returned for a deadline."""
_BANDS = (1.0, 0.6, 0.3, 0.15)
"""Shares of the bands that a plan leaves room for before a deadline, from the safest on."""
_FAILURES = 0.01
"""Share of attempts that are taken to fail."""
_SMALL_RISK = 0.002
_RISK_SPARE = 1.1
"""Before a deadline that no plan is safe for, a plan may be late with this multiple of the smallest probability, or
with a small one, if it is cheaper."""
_NORMAL = NormalDist()
_HIGH = _NORMAL.inv_cdf(0.9)


class Candidate:
    """A plan of average jobs: for each piece of work one option."""

    def __init__(self, problem: PlanningProblem, choices: Sequence[tuple[GroupWork, Option]]) -> None:
        self._problem = problem
        self.choices = tuple(choices)
        self.weight = sum(option.weight for _, option in choices)
        self.longest = max(option.longest for _, option in choices)
        self.longest_high = max(option.longest_high for _, option in choices)

    @cached_property
    def bound(self) -> float:
        """No schedule ends earlier, in seconds."""
        busy: dict[str, float] = {}
        jobs, seconds = 0, 0.0
        for work, option in self.choices:
            name = work.machine.pool
            busy[name] = busy.get(name, 0.0) + option.instance_seconds
            items = option.jobs * (option.instances if option.is_split else 1)
            jobs += items
            seconds += option.instance_seconds / (1 if option.is_split else option.instances)
        quotas = self._problem.quotas
        by_quota = max((value / quotas[name] for name, value in busy.items() if name in quotas), default=0.0)
        by_pace = jobs / self._problem.starts_per_second
        return max(self.longest, by_quota, seconds / self._problem.max_concurrency, by_pace)

    @cached_property
    def _expected(self) -> Schedule:
        return self._schedule(0)

    @cached_property
    def makespan(self) -> float:
        """Expected end in seconds."""
        return self._expected.makespan

    @cached_property
    def makespan_high(self) -> float:
        """End in seconds if every job takes the 90th percentile of its time."""
        return self._schedule(1).makespan

    def end_of_repetition(self, band: float) -> float:
        """Return the end in seconds with a share of the bands, if the longest job is repeated."""
        slower = self.makespan_high - self.makespan + self.longest_high - self.longest if band else 0.0
        return self.makespan + self.longest + band * slower + _RETRY_SECONDS

    def is_in_time_repeated(self, deadline: float, band: float) -> bool:
        return self.bound + self.longest <= deadline and self.end_of_repetition(band) <= deadline

    def risk(self, deadline: float) -> float:
        """Return about the probability that the end is after a deadline, because of the bands or a failed attempt."""
        deviation = (self.makespan_high / self.makespan - 1) / _HIGH

        def late(end: float) -> float:
            return _NORMAL.cdf((end - deadline) / (deviation * end)) if deviation else float(end > deadline)

        found = late(self.makespan)
        ends = Counter(
            (round(start) + round(item.seconds), round(item.seconds), startup)
            for (item, startup), start in zip(self._items(0), self._expected.starts, strict=True)
        )
        for (end, seconds, startup), count in ends.items():
            # An attempt fails halfway through its work, or at its end.
            lost = (startup + seconds) / 2, seconds
            found += _FAILURES * count * sum(late(end + _RETRY_SECONDS + each) for each in lost) / len(lost)
        return found

    def _schedule(self, band: float) -> Schedule:
        """Return when the items run, with a share of the bands."""
        return schedule(
            [item for item, _ in self._items(band)],
            max_concurrency=self._problem.max_concurrency,
            quotas=self._problem.quotas,
            starts_per_second=self._problem.starts_per_second,
        )

    def _items(self, band: float) -> list[tuple[Item, float]]:
        """Return what the Map runs, longest first, each with its start-up."""
        found: list[tuple[Item, float]] = []
        for work, option in self.choices:
            instances, count = (
                (1, option.jobs * option.instances) if option.is_split else (option.instances, option.jobs)
            )
            longest = option.longest + band * (option.longest_high - option.longest)
            mean = option.mean + band * (option.mean_high - option.mean)
            startup = work.machine.startup_of(instances).value
            name = work.machine.pool
            found += [(Item(name, instances, longest), startup)]
            found += [(Item(name, instances, mean), startup)] * (count - 1)
        return sorted(found, key=lambda pair: -pair[0].seconds)


def candidates(problem: PlanningProblem, prepared: Preparation) -> list[Candidate]:
    """Return the plans to compare. Groups that cannot run at all are left out."""
    runnable = [
        {name: work for name, work in by_type.items() if prepared.options(problem, work)} for by_type in prepared.works
    ]
    runnable = [by_type for by_type in runnable if by_type]
    if not runnable:
        return []
    found: list[Candidate] = []
    for assigned in assignments(problem, runnable):
        ways = [(work, way) for work in assigned if (way := prepared.options(problem, work))]
        # Most groups of a large fleet have one option: only the others differ between candidates.
        settled = [(work, way[0]) for work, way in ways if len(way) == 1]
        open_ways = [(work, way) for work, way in ways if len(way) > 1]
        seen: set[tuple[int, ...]] = set()
        for longest in _durations(problem, [way for _, way in open_ways]):
            indexes = tuple(_cheapest_within(way, longest) for _, way in open_ways)
            if indexes not in seen:
                seen.add(indexes)
                chosen = [(work, way[index]) for (work, way), index in zip(open_ways, indexes, strict=True)]
                found.append(Candidate(problem, [*settled, *chosen]))
    return found


def rank(problem: PlanningProblem, found: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates from the best on, by the problem's objective. Only the first few are exact."""
    if problem.objective == "time":
        return _fastest(found)
    cheapest = sorted(found, key=lambda candidate: (candidate.weight, candidate.longest))
    if problem.deadline_seconds is None:
        limit = cheapest[0].weight * NO_DEADLINE_SPARE
        return sorted(
            (candidate for candidate in cheapest if candidate.weight <= limit),
            key=lambda candidate: (candidate.makespan, candidate.weight),
        )
    deadline = problem.deadline_seconds
    for band in _BANDS:
        fitting = _least_risk(cheapest, deadline, partial(Candidate.is_in_time_repeated, deadline=deadline, band=band))
        if fitting:
            return fitting
    just = [candidate for candidate in cheapest if candidate.is_in_time_repeated(deadline, 0.0)]
    if just:
        return sorted(just, key=lambda candidate: candidate.end_of_repetition(0.0))[:_FEW]
    return _least_risk(cheapest, deadline, lambda candidate: candidate.makespan <= deadline) or _fastest(found)


def _least_risk(
    cheapest: Sequence[Candidate], deadline: float, is_possible: Callable[[Candidate], bool]
) -> list[Candidate]:
    """Return the cheapest possible candidates with a small probability to be late, else those with the smallest."""
    quiet: list[Candidate] = []
    risks: list[tuple[float, Candidate]] = []
    for candidate in cheapest:
        if candidate.bound <= deadline and is_possible(candidate):
            risk = candidate.risk(deadline)
            risks.append((risk, candidate))
            if risk <= _SMALL_RISK:
                quiet.append(candidate)
                if len(quiet) == _FEW:
                    break
    limit = min((risk for risk, _ in risks), default=0.0) * _RISK_SPARE
    return quiet or [candidate for risk, candidate in risks if risk <= limit]


def _fastest(found: Sequence[Candidate]) -> list[Candidate]:
    best = math.inf
    exact = []
    for candidate in sorted(found, key=lambda candidate: (candidate.bound, candidate.weight)):
        if candidate.bound > best * TIME_SPARE:
            break
        best = min(best, candidate.makespan)
        exact.append(candidate)
    exact = [candidate for candidate in exact if candidate.makespan <= best * TIME_SPARE]
    return sorted(exact, key=lambda candidate: (candidate.weight, candidate.makespan))


def _durations(problem: PlanningProblem, ways: Iterable[Sequence[Option]]) -> list[float]:
    """Return durations of the longest job to try, in seconds."""
    ways = list(ways)
    if not ways:
        return [0.0]
    shortest = max(way[0].longest for way in ways)
    longest = max(way[-1].longest for way in ways)
    lowest = min(way[0].longest for way in ways)
    steps = _STEPS if len(ways) <= _MANY_GROUPS else _FEW_STEPS
    ratio = (longest / lowest) ** (1 / steps)
    durations = {lowest * ratio**step for step in range(steps)} | {longest, shortest}
    if problem.deadline_seconds is not None:
        durations |= {problem.deadline_seconds * share for share in _DEADLINE_SHARES}
    if len(ways) == 1:
        durations |= {option.longest for option in ways[0]}
    return sorted(durations)


def _cheapest_within(way: Sequence[Option], longest: float) -> int:
    return max(0, bisect_right(way, longest, key=lambda option: option.longest) - 1)
