"""What people should know about a plan, and what would make it cheaper or faster."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contract.job.limits import MAX_CONCURRENCY_LIMIT
from contract.planner.algorithm.best import best_plan
from contract.planner.algorithm.preparation import Preparation, Works, choosable_types
from contract.planner.algorithm.work import UNKNOWN_SIZE
from contract.planner.instances import size_of
from contract.planner.plan import Alternative, CapacityPlan
from contract.planner.problem import ModelGroup, PlanningProblem, pool_name, priced_kind

_WORTH = 0.95
"""An alternative is worth telling if it takes at most this share of the time or the money."""
_LISTED = 5
"""Groups that notes name. An execution may have thousands, and a record has at most 400 KB."""
_SLACK = 1.2
"""A cheaper plan may not take longer than this multiple, unless the change is a later end."""


def notes(problem: PlanningProblem, plan: CapacityPlan, prepared: Preparation) -> list[str]:
    """Return what is uncertain about the plan, and what may go wrong."""
    return [
        *_estimate_notes(prepared.works),
        *_type_notes(problem, plan),
        *_runtime_notes(problem, plan),
    ]


def alternatives(problem: PlanningProblem, plan: CapacityPlan, prepared: Preparation) -> tuple[Alternative, ...]:
    """Return changes that make the plan cheaper or faster, each with its result."""
    found: list[Alternative] = []
    if not plan.jobs:
        return ()
    if any(_may_share(group) for group in problem.groups):
        other = best_plan(problem, prepared.with_shared_jobs())
        found += _worth(plan, other, "set models_per_job to 'auto'", problem)
    found += _more_capacity(problem, plan, prepared)
    if problem.objective == "cost":
        faster = best_plan(replace(problem, objective="time", deadline_seconds=None), prepared)
        if faster.makespan.value <= plan.makespan.value * _WORTH:
            found.append(_alternative("set objective to 'time'", faster))
    if problem.deadline_seconds is not None or problem.objective == "time":
        later = best_plan(replace(problem, objective="cost", deadline_seconds=None), prepared)
        if _money(later) <= _money(plan) * _WORTH:
            change = "allow a later end" if problem.objective == "cost" else "set objective to 'cost'"
            found.append(_alternative(change, later))
    found += _on_spot(problem, plan)
    return tuple(found)


def _on_spot(problem: PlanningProblem, plan: CapacityPlan) -> Iterable[Alternative]:
    """Yield the same jobs with and without spot capacity, if the table has the prices. They are never derived."""
    has_spot = any(job.spot for job in plan.jobs)
    costs = [
        price * job.instance_seconds / 3_600
        for job in plan.jobs
        if (price := problem.prices.usd_per_hour(problem.region, priced_kind(not has_spot), job.instance_type))
    ]
    if len(costs) == len(plan.jobs):
        change = (
            "set spot to false, which has no interruptions"
            if has_spot
            else "set spot to true, which has quotas of its own"
        )
        yield Alternative(change, plan.makespan.value, sum(costs), plan.instance_hours)


def _more_capacity(problem: PlanningProblem, plan: CapacityPlan, prepared: Preparation) -> Iterable[Alternative]:
    full = {name: quota for name, quota in problem.quotas.items() if plan.quota_needed.get(name) == quota}
    if full:
        for factor in (2, 4):
            raised = replace(problem, quotas={**problem.quotas, **{name: full[name] * factor for name in full}})
            other = best_plan(raised, prepared)
            texts = (f"{name} from {quota:,} to {quota * factor:,}" for name, quota in sorted(full.items()))
            yield from _worth(plan, other, f"raise the quota of {' and of '.join(texts)}", problem)
            if other.meets_deadline is not False:
                break
    items = sum(len(job.shard_bytes) if job.is_split else 1 for job in plan.jobs)
    if items > problem.max_concurrency and problem.max_concurrency < MAX_CONCURRENCY_LIMIT:
        more = min(MAX_CONCURRENCY_LIMIT, problem.max_concurrency * 2)
        other = best_plan(replace(problem, max_concurrency=more), prepared)
        change = f"raise max_concurrency from {problem.max_concurrency:,} to {more:,}"
        yield from _worth(plan, other, change, problem)


def _worth(plan: CapacityPlan, other: CapacityPlan, change: str, problem: PlanningProblem) -> Iterable[Alternative]:
    """Yield the other plan if it is faster, cheaper, or in time where the plan is late."""
    cheaper = _money(other) <= _money(plan) * _WORTH and other.makespan.value <= plan.makespan.value * _SLACK
    cheaper = cheaper or (_money(other) <= _money(plan) * _WORTH and problem.objective == "cost")
    faster = other.makespan.value <= plan.makespan.value * _WORTH
    if other.jobs and not other.problems and (cheaper or faster or (other.meets_deadline and not plan.meets_deadline)):
        yield _alternative(change, other)


def _alternative(change: str, plan: CapacityPlan) -> Alternative:
    return Alternative(change, plan.makespan.value, plan.cost, plan.instance_hours)


def _money(plan: CapacityPlan) -> float:
    return plan.instance_hours if plan.cost is None else plan.cost


def _may_share(group: ModelGroup) -> bool:
    return group.fixed.models_per_job is not None and not group.is_fleet and len(group.models) > 1


def _estimate_notes(works: Sequence[Works]) -> Iterable[str]:
    first = [next(iter(by_type.values())) for by_type in works]
    models = sum(len(work.model_loads) for work in first)
    unmeasured = round(sum(work.total.unmeasured for work in first))
    if unmeasured:
        yield (
            f"{unmeasured:,} of {models:,} models have no measured speed: documented defaults apply, with wide bands. "
            "They are measured when they run."
        )
    datasets = sorted({work.group.dataset for work in first if not work.bytes_per_row.count})
    if datasets:
        named = f"dataset {datasets[0]!r}" + (f" and {len(datasets) - 1:,} more" if len(datasets) > 1 else "")
        yield f"The bytes per row of {named} are not measured yet, so rows are unknown and durations are rough."


def _type_notes(problem: PlanningProblem, plan: CapacityPlan) -> Iterable[str]:
    free = [group for group in problem.groups if group.fixed.instance_type is None]
    chosen = {name for group in free for name in choosable_types(problem, group)}
    unknown = [name for name in problem.instance_types if free and size_of(name) is None]
    known = [name for name in problem.instance_types if free and size_of(name) and name not in chosen]
    kinds = sorted({group.spot for group in free})
    unpriced = [name for name in known if all(_price(problem, name, spot) is None for spot in kinds)]
    if unknown:
        yield f"Not considered, because their size is not known: {', '.join(unknown)}."
    if unpriced:
        yield f"Not considered, because there is no price for them in {problem.region}: {', '.join(unpriced)}."
    for name, spot in sorted({(job.instance_type, job.spot) for job in plan.jobs}):
        pool = pool_name(name, spot=spot)
        if size_of(name) is None:
            size = f"{UNKNOWN_SIZE.vcpus} vCPUs and {UNKNOWN_SIZE.memory_gib:g} GiB"
            yield f"The size of {name} is not known: {size} are assumed. Check the name."
        if _price(problem, name, spot) is None:
            yield f"No price of {pool} in {problem.region} is known, so there is no cost. `fleetscore prices` adds it."
        needed = plan.quota_needed.get(pool, 0)
        if pool not in problem.quotas and needed > 1:
            yield f"The quota of {pool} is not known. The plan needs {needed:,} at once: check that it suffices."


def _runtime_notes(problem: PlanningProblem, plan: CapacityPlan) -> Iterable[str]:
    limits: Mapping[str, int] = {group.name: group.max_runtime_seconds for group in problem.groups}
    late = Counter(job.group for job in plan.jobs if job.seconds.high > limits[job.group])
    for name, count in sorted(late.items())[:_LISTED]:
        jobs = "1 job" if count == 1 else f"{count:,} jobs"
        yield f"{jobs} of {name} may take longer than max_runtime_seconds, {limits[name]:,}. Raise it."
    if len(late) > _LISTED:
        yield f"So may jobs of {len(late) - _LISTED:,} more."


def _price(problem: PlanningProblem, instance_type: str, spot: bool) -> float | None:
    return problem.prices.usd_per_hour(problem.region, priced_kind(spot), instance_type)
