"""The planner's output: jobs in their order, and what they need together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.planner.estimates import Estimate
from contract.planner.problem import pool_name
from contract.planner.texts import cost_text, duration_text, instance_hours_text
from contract.problems import Problem


@dataclass(frozen=True)
class JobCapacity:
    """One job of the plan."""

    group: str
    """Name of the group of `PlanningProblem`."""
    models: tuple[str, ...]
    instance_type: str
    instance_count: int
    """Instances that share the objects; as single-instance parts if `is_split`."""
    is_split: bool
    """Whether the plan divides the objects into parts of about equal bytes."""
    shard_bytes: tuple[int, ...]
    """Bytes of input of each instance or part. Jobs over the same objects share the tuple."""
    volume_gb: int
    seconds: Estimate
    """Time from the creation of the SageMaker job to its end. Of parts, that of the longest one."""
    starts: tuple[float, ...]
    """Expected start of the job, or of each part, in seconds from the start of the execution."""
    instance_seconds: float
    """Expected time of all instances, start-up included."""
    rows: int | None
    """Rows of the input; None if nothing has measured the dataset."""
    cost: float | None
    """US dollars; None without a price for the instance type."""
    spot: bool = False
    """Whether the job runs on spot capacity."""

    @property
    def pool(self) -> str:
        """Key of the job's instances in `quota_needed`."""
        return pool_name(self.instance_type, spot=self.spot)

    @property
    def starts_at(self) -> float:
        """Expected start of what starts first."""
        return min(self.starts)

    @property
    def input_bytes(self) -> int:
        return sum(self.shard_bytes)


@dataclass(frozen=True)
class Alternative:
    """A change of the request or the account, and what it would bring."""

    change: str
    """What to do, as a clause: "raise the quota of ml.m5.xlarge to 40"."""
    makespan_seconds: float
    cost: float | None
    instance_hours: float

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", {cost_text(self.cost)}"
        used = instance_hours_text(self.instance_hours)
        return f"{self.change}: {duration_text(self.makespan_seconds)}, {used}{cost}"


@dataclass(frozen=True)
class CapacityPlan:
    """Jobs and their totals. Times are in seconds from the start of the execution."""

    jobs: tuple[JobCapacity, ...]
    """In the order in which they start."""
    makespan: Estimate
    instance_hours: float
    cost: float | None
    """US dollars of all jobs; None if one of them has no price."""
    price_date: str
    """Date and source of the prices."""
    price_source: str
    quota_needed: Mapping[str, int] = field(default_factory=dict)
    """Most instances that run at once, by `pool_name`. Never more than the quota."""
    meets_deadline: bool | None = None
    """Whether the expected end is before the deadline; None without a deadline."""
    notes: tuple[str, ...] = ()
    """What people should know, such as what `auto` would save."""
    problems: tuple[Problem, ...] = ()
    """What is fixed and cannot work, such as a volume that is too small."""
    alternatives: tuple[Alternative, ...] = ()
    """What would make the plan cheaper or faster."""
