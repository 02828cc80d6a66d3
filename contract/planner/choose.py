"""Choose the jobs of an execution."""

import math

from contract.planner.estimates import Estimate
from contract.planner.plan import CapacityPlan, JobCapacity
from contract.planner.problem import ModelGroup, PlanningProblem
from contract.planner.schedule import Item, Schedule, schedule
from contract.planner.work import GroupWork, add_up, group_work, machine


def choose_plan(problem: PlanningProblem) -> CapacityPlan:
    """Return the plan of a problem. The same problem gives the same plan."""
    jobs = [job for group in problem.groups for job in _jobs(problem, group)]
    jobs.sort(key=lambda job: (-job.seconds.value, job.models))
    value, low, high = (_schedule(problem, jobs, name) for name in ("value", "low", "high"))
    costs = [job.cost for job in jobs if job.cost is not None]
    return CapacityPlan(
        jobs=tuple(jobs),
        makespan=Estimate(value.makespan, low.makespan, high.makespan),
        instance_hours=sum(job.instance_seconds for job in jobs) / 3_600,
        cost=sum(costs) if len(costs) == len(jobs) else None,
        price_date=problem.prices.date,
        price_source=problem.prices.source,
        quota_needed=value.peaks,
        meets_deadline=None if problem.deadline_seconds is None else value.makespan <= problem.deadline_seconds,
    )


def _jobs(problem: PlanningProblem, group: ModelGroup) -> list[JobCapacity]:
    instance_type = group.fixed.instance_type or problem.instance_types[0]
    work = group_work(problem, group, machine(problem, instance_type))
    size = len(group.models) if group.is_fleet else group.fixed.models_per_job or group.max_models_per_job
    instances = max(1, min(group.fixed.instance_count or 1, work.objects))
    chunks = range(0, len(group.models), max(1, size))
    return [_job(work, start, start + size, instances) for start in chunks]


def _job(work: GroupWork, start: int, end: int, instances: int) -> JobCapacity:
    load = add_up(work.loads[start:end])
    shard = math.ceil(work.input_bytes / instances)
    seconds = work.seconds(load, shard)
    price = work.machine.usd_per_hour
    return JobCapacity(
        group=work.group.name,
        models=tuple(model.model_id for model in work.group.models[start:end]),
        instance_type=work.machine.instance_type,
        instance_count=instances,
        is_split=False,
        shard_bytes=(shard,) * instances,
        volume_gb=work.group.fixed.volume_size_gb or work.disk_gb(load, shard),
        seconds=seconds,
        starts_at=0.0,
        instance_seconds=seconds.value * instances,
        rows=work.rows,
        cost=None if price is None else price * seconds.value * instances / 3_600,
    )


def _schedule(problem: PlanningProblem, jobs: list[JobCapacity], name: str) -> Schedule:
    return schedule(
        [Item(job.instance_type, job.instance_count, getattr(job.seconds, name)) for job in jobs],
        max_concurrency=problem.max_concurrency,
        quotas=problem.quotas,
        starts_per_second=problem.starts_per_second,
    )
