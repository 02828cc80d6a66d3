"""Find the best plan of a problem."""

from collections.abc import Sequence
from dataclasses import replace

from contract.planner.algorithm.candidates import TIME_SPARE, Candidate, candidates, rank
from contract.planner.algorithm.form import FormedJob, form_jobs
from contract.planner.algorithm.obstacles import obstacles
from contract.planner.algorithm.options import Option
from contract.planner.algorithm.preparation import Preparation
from contract.planner.algorithm.schedule import Item, Schedule, schedule
from contract.planner.algorithm.work import GroupWork
from contract.planner.estimates import Estimate
from contract.planner.plan import CapacityPlan
from contract.planner.problem import PlanningProblem
from contract.problems import Problem

_TRIED = 5
"""Candidates whose jobs are formed, until one keeps what its average jobs promised."""


def best_plan(problem: PlanningProblem, prepared: Preparation) -> CapacityPlan:
    """Return the best plan, without advice. `prepared` may be that of a problem with other quotas."""
    found = candidates(problem, prepared)
    plans = _plans(problem, rank(problem, found)) if found else []
    if problem.objective == "time" and found:
        # If jobs must be divided further than their average, the fastest candidate may end after the cheapest.
        plans += _plans(problem, rank(replace(problem, objective="cost", deadline_seconds=None), found))
    problems = tuple(obstacles(problem, prepared))
    if not plans:
        return replace(_schedule_jobs(problem, []), problems=problems)
    fewest = min((len(plan.problems), plan.meets_deadline is False) for plan in plans)
    left = [plan for plan in plans if (len(plan.problems), plan.meets_deadline is False) == fewest]
    # In the order of the ranks: the first one that is about as fast as the fastest is the cheapest of them.
    limit = min(plan.makespan.value for plan in left) * TIME_SPARE
    best = next(plan for plan in left if plan.makespan.value <= limit)
    return replace(best, problems=(*problems, *best.problems))


def _plans(problem: PlanningProblem, ranked: Sequence[Candidate]) -> list[CapacityPlan]:
    """Form the jobs of the best candidates until a plan keeps the deadline and has no problem."""
    plans = []
    for candidate in ranked[:_TRIED]:
        plan = _plan(problem, candidate)
        plans.append(plan)
        if plan.meets_deadline is not False and not plan.problems:
            break
    return plans


def _plan(problem: PlanningProblem, candidate: Candidate) -> CapacityPlan:
    jobs: list[FormedJob] = []
    problems = []
    for work, option in candidate.choices:
        formed = form_jobs(work, option, problem.default_volume_gb)
        jobs += formed
        if not formed or any(each.needed_gb > work.disk_limit_gb for each in formed):
            problems.append(_too_large(work, option))
    return replace(_schedule_jobs(problem, jobs), problems=tuple(problems))


def _too_large(work: GroupWork, option: Option) -> Problem:
    needed = max(work.disk_gb(load, work.dataset.longest(option.instances)) for load in work.loads)
    largest = "models of the largest job" if work.group.job_sizes else "largest model"
    expected = f"at least {needed:,} GB, for a shard with its outputs and the {largest}"
    remedy = "Raise volume_size_gb or instance_count, or split the dataset."
    return Problem(f"{work.group.name}: volume_size_gb", work.disk_limit_gb, expected, remedy)


def _schedule_jobs(problem: PlanningProblem, formed: Sequence[FormedJob]) -> CapacityPlan:
    ordered = sorted(formed, key=lambda formed: (-formed.job.seconds.value, formed.job.models))
    value, low, high = (_schedule(problem, ordered, bound) for bound in ("value", "low", "high"))
    starts = iter(value.starts)
    timed = [replace(job, starts=tuple(next(starts) for _ in items)) for job, items, _ in ordered]
    jobs = tuple(sorted(timed, key=lambda job: job.starts_at))
    costs = [job.cost for job in jobs if job.cost is not None]
    count = min((job.seconds.count for job in jobs), default=0)
    deadline = problem.deadline_seconds
    price_date, price_source = problem.prices.origin(problem.region)
    return CapacityPlan(
        jobs=jobs,
        # List scheduling can end later although every job is shorter.
        makespan=Estimate(value.makespan, min(low.makespan, value.makespan), max(high.makespan, value.makespan), count),
        instance_hours=sum(job.instance_seconds for job in jobs) / 3_600,
        cost=sum(costs) if len(costs) == len(jobs) else None,
        price_date=price_date,
        price_source=price_source,
        quota_needed={name: max(value.peaks[name], low.peaks[name], high.peaks[name]) for name in sorted(value.peaks)},
        meets_deadline=None if deadline is None else value.makespan <= deadline,
    )


def _schedule(problem: PlanningProblem, ordered: Sequence[FormedJob], bound: str) -> Schedule:
    items = [
        Item(job.pool, 1 if job.is_split else job.instance_count, getattr(seconds, bound))
        for job, items, _ in ordered
        for seconds in items
    ]
    return schedule(
        items,
        max_concurrency=problem.max_concurrency,
        quotas=problem.quotas,
        starts_per_second=problem.starts_per_second,
    )
