"""Choose the jobs of an execution: see docs/why/planner.md."""

from collections.abc import Sequence
from dataclasses import replace

from contract.planner.algorithm.assign import Works
from contract.planner.algorithm.candidates import Candidate, candidates, rank
from contract.planner.algorithm.form import FormedJob, form_jobs
from contract.planner.algorithm.schedule import Item, Schedule, schedule
from contract.planner.algorithm.shards import Dataset
from contract.planner.algorithm.work import group_work, machine_of
from contract.planner.estimates import Estimate
from contract.planner.instances import size_of
from contract.planner.plan import CapacityPlan
from contract.planner.problem import ModelGroup, PlanningProblem

_TRIED = 5
"""Candidates whose jobs are formed, until one keeps what its average jobs promised."""


def choose_plan(problem: PlanningProblem) -> CapacityPlan:
    """Return the plan of a problem. The same problem always gives the same plan."""
    works = works_of(problem)
    found = candidates(problem, works)
    ranked = rank(problem, found)[:_TRIED] if found else []
    plans = []
    for candidate in ranked:
        plan = _plan(problem, candidate)
        plans.append(plan)
        if plan.meets_deadline is not False:
            break
    if not plans:
        return _schedule_jobs(problem, [])
    return min(plans, key=lambda plan: (plan.meets_deadline is False, plan.makespan.value))


def works_of(problem: PlanningProblem) -> list[Works]:
    """Return the work of each group on each type that it may have."""
    datasets = {name: Dataset(sizes) for name, sizes in problem.datasets.items()}
    machines = {
        name: machine_of(problem, name)
        for name in (
            *problem.instance_types,
            *(group.fixed.instance_type for group in problem.groups if group.fixed.instance_type),
        )
    }
    works: list[Works] = []
    for group in problem.groups:
        if group.models:
            types = _types(problem, group)
            dataset = datasets[group.dataset]
            works.append({name: group_work(problem, group, dataset, machines[name]) for name in types})
    return works


def _types(problem: PlanningProblem, group: ModelGroup) -> Sequence[str]:
    """Return the types that the group may have: those with a known size, and with a price if any has one."""
    if group.fixed.instance_type is not None:
        return (group.fixed.instance_type,)
    known = [name for name in problem.instance_types if (size := size_of(name)) and (size.gpus or not group.needs_gpu)]
    known = known or list(problem.instance_types[:1])
    priced = [name for name in known if problem.prices.usd_per_hour(problem.region, problem.kind, name) is not None]
    return priced or known


def _plan(problem: PlanningProblem, candidate: Candidate) -> CapacityPlan:
    jobs = [job for work, option in candidate.choices for job in form_jobs(work, option, problem.default_volume_gb)]
    return _schedule_jobs(problem, jobs)


def _schedule_jobs(problem: PlanningProblem, formed: Sequence[FormedJob]) -> CapacityPlan:
    ordered = sorted(formed, key=lambda formed: (-formed.job.seconds.value, formed.job.models))
    value, low, high = (_schedule(problem, ordered, bound) for bound in ("value", "low", "high"))
    starts = iter(value.starts)
    jobs = tuple(replace(job, starts_at=min([next(starts) for _ in items])) for job, items in ordered)
    costs = [job.cost for job in jobs if job.cost is not None]
    count = min((job.seconds.count for job in jobs), default=0)
    deadline = problem.deadline_seconds
    return CapacityPlan(
        jobs=jobs,
        # List scheduling can end later although every job is shorter.
        makespan=Estimate(value.makespan, min(low.makespan, value.makespan), max(high.makespan, value.makespan), count),
        instance_hours=sum(job.instance_seconds for job in jobs) / 3_600,
        cost=sum(costs) if len(costs) == len(jobs) else None,
        price_date=problem.prices.date,
        price_source=problem.prices.source,
        quota_needed={name: max(value.peaks[name], low.peaks[name], high.peaks[name]) for name in sorted(value.peaks)},
        meets_deadline=None if deadline is None else value.makespan <= deadline,
    )


def _schedule(problem: PlanningProblem, ordered: Sequence[FormedJob], bound: str) -> Schedule:
    items = [
        Item(job.instance_type, 1 if job.is_split else job.instance_count, getattr(seconds, bound))
        for job, items in ordered
        for seconds in items
    ]
    return schedule(
        items,
        max_concurrency=problem.max_concurrency,
        quotas=problem.quotas,
        starts_per_second=problem.starts_per_second,
    )
