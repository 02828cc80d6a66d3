"""What a plan expects, and what an execution has used: the figures that records, summaries and views have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.planner.estimates import Estimate
from contract.planner.plan import CapacityPlan


@dataclass(frozen=True)
class PlanFigures:
    """What a plan expects of its execution. Times are in seconds, from the plan to the end of the last job."""

    jobs: int
    """SageMaker jobs: a split job counts once per part."""
    seconds: Estimate
    instance_hours: float
    """Hours of all instances together, start-up included."""
    cost: float | None = None
    """US dollars; None if an instance type has no price."""
    price_date: str = ""
    price_source: str = ""
    usd_per_hour: Mapping[str, float] = field(default_factory=dict)
    """Prices with which the cost was computed, by `pool_name`."""
    quota_needed: Mapping[str, int] = field(default_factory=dict)
    """Most instances that run at once, by `pool_name`."""
    meets_deadline: bool | None = None
    """Whether the expected end is before the deadline; None without a deadline."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ActualFigures:
    """What an execution has used, to compare with its plan."""

    jobs: int
    """SageMaker jobs that were started."""
    seconds: float
    """From the plan to the end of the last job."""
    instance_hours: float
    """From the start to the end of each attempt, times its instances."""
    cost: float | None = None
    """US dollars at the plan's prices; None if an instance type has no price."""


def figures_of(plan: CapacityPlan, usd_per_hour: Mapping[str, float], notes: tuple[str, ...]) -> PlanFigures:
    """Return the figures of a plan, with these notes and prices."""
    return PlanFigures(
        jobs=sum(job.instance_count if job.is_split else 1 for job in plan.jobs),
        seconds=plan.makespan,
        instance_hours=plan.instance_hours,
        cost=plan.cost,
        price_date=plan.price_date,
        price_source=plan.price_source,
        usd_per_hour=usd_per_hour,
        quota_needed=plan.quota_needed,
        meets_deadline=plan.meets_deadline,
        notes=notes,
    )
