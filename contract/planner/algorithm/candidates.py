"""Plans that may be the best: for sets of instance types and durations of the longest job."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from contract.planner.algorithm.assign import assignments
from contract.planner.algorithm.options import Option
from contract.planner.algorithm.preparation import Preparation
from contract.planner.algorithm.schedule import Item, schedule
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
    def makespan(self) -> float:
        """Expected end in seconds."""
        return self._makespan(lambda option: (option.longest, option.mean))

    @cached_property
    def makespan_high(self) -> float:
        """End in seconds if every job takes the 90th percentile of its time."""
        return self._makespan(lambda option: (option.longest_high, option.mean_high))

    def end(self, band: float, repetitions: float) -> float:
        """Return the end with a share of the bands, and with the longest job repeated."""
        high = self.makespan_high - self.makespan if band else 0.0
        repeated = self.longest + band * (self.longest_high - self.longest) + _RETRY_SECONDS
        return self.makespan + band * high + repetitions * repeated

    def _makespan(self, seconds: Callable[[Option], tuple[float, float]]) -> float:
        items: list[Item] = []
        for work, option in self.choices:
            name = work.machine.pool
            instances, count = (
                (1, option.jobs * option.instances) if option.is_split else (option.instances, option.jobs)
            )
            longest, mean = seconds(option)
            items += [Item(name, instances, longest), *[Item(name, instances, mean)] * (count - 1)]
        items.sort(key=lambda item: -item.seconds)
        return schedule(
            items,
            max_concurrency=self._problem.max_concurrency,
            quotas=self._problem.quotas,
            starts_per_second=self._problem.starts_per_second,
        ).makespan


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
    for risk in _RISKS:
        fitting = _first(cheapest, problem.deadline_seconds, *risk)
        if fitting:
            return fitting
    return _fastest(found)


_RISKS = ((1.0, 1.0), (0.6, 1.0), (0.3, 1.0), (0.15, 1.0), (0.3, 0.6), (0.15, 0.3), (0.3, 0.0), (0.0, 0.0))
"""What a plan leaves room for, from the safest on: a share of the band, and repetitions of the longest job."""


def _first(cheapest: Sequence[Candidate], deadline: float, band: float, repetitions: float) -> list[Candidate]:
    fitting = []
    for candidate in cheapest:
        if candidate.bound + candidate.longest * repetitions > deadline:
            continue
        if candidate.end(band, repetitions) <= deadline:
            fitting.append(candidate)
            if len(fitting) == _FEW:
                break
    return fitting


def _fastest(found: Sequence[Candidate]) -> list[Candidate]:
    best = float("inf")
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
