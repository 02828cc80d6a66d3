"""The planner's input: what is to be scored, with what, by when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from contract.job.limits import MAX_MODELS_PER_JOB
from contract.planner.estimates import Estimates
from contract.planner.prices import PricedKind, PriceTable

Objective = Literal["cost", "time"]
"""`cost`: the smallest cost that meets the deadline. `time`: the earliest end."""


def pool_name(instance_type: str, *, spot: bool) -> str:
    """Return the name of the instances that share a quota, as the setting `instance_quotas` has it.

    >>> pool_name("ml.m5.xlarge", spot=False), pool_name("ml.m5.xlarge", spot=True)
    ('ml.m5.xlarge', 'spot-training:ml.m5.xlarge')
    """
    return f"spot-training:{instance_type}" if spot else instance_type


def priced_kind(spot: bool) -> PricedKind:
    """Return the kind of jobs whose prices apply."""
    return "training_spot" if spot else "processing"


@dataclass(frozen=True)
class ModelWork:
    """A model, as far as time and disk depend on it."""

    model_id: str
    format: str
    artifact_bytes: int
    output_ratio: float = 0.0
    """Bytes of the model's own outputs per byte of input: about 1 if an output contains its input."""


@dataclass(frozen=True)
class Fixed:
    """What the request, a record or the stage fixes. None leaves the choice to the planner."""

    instance_type: str | None = None
    instance_count: int | None = None
    volume_size_gb: int | None = None
    models_per_job: int | None = 1
    """Most models of a job. None means `auto`."""


@dataclass(frozen=True)
class ModelGroup:
    """Models that may share a job: one dataset, one way of reading it, one image, the same fixed compute."""

    name: str
    """Name in texts; unique in the problem."""
    dataset: str
    models: tuple[ModelWork, ...]
    fixed: Fixed = Fixed()
    max_runtime_seconds: int = 86_400
    """Time limit of an attempt."""
    is_fleet: bool = False
    """Whether each row is scored by one of the models. All of them are then one job."""
    shared_output_ratio: float = 0.0
    """Bytes per byte of input of what all models of a job write together: about 1 for joined outputs."""
    measured_dataset: str = ""
    """Name of the dataset in estimates, if `dataset` is only what is left of it to score."""
    needs_gpu: bool = False
    spot: bool = False
    """Whether its jobs are training jobs on spot capacity, with prices and quotas of their own."""
    max_models_per_job: int = MAX_MODELS_PER_JOB
    """Limit that applies to `auto` too, such as that of joined outputs."""
    job_sizes: tuple[int, ...] = ()
    """Models of each job, in the order of `models`, if that is fixed; empty if the planner divides the models."""

    @property
    def is_given(self) -> bool:
        """Whether nothing is left to choose: the jobs run as they are, and the plan only estimates them."""
        fixed = self.fixed
        compute = (fixed.instance_type, fixed.instance_count, fixed.volume_size_gb)
        return None not in compute and (self.is_fleet or fixed.models_per_job is not None)

    @property
    def alike(self) -> tuple[object, ...]:
        """What two groups have in common whose work can be divided in the same ways."""
        return (
            self.fixed,
            self.is_fleet,
            len(self.models),
            self.max_runtime_seconds,
            self.max_models_per_job,
            self.shared_output_ratio,
            self.spot,
            self.job_sizes,
        )

    def sharing(self) -> "ModelGroup":
        """Return the group with the number of models per job left to the planner."""
        return replace(self, fixed=replace(self.fixed, models_per_job=None), job_sizes=())


@dataclass(frozen=True)
class PlanningProblem:
    """What `choose_plan` decides about. Times are in seconds, from the start of the execution."""

    groups: tuple[ModelGroup, ...]
    datasets: Mapping[str, Sequence[int]]
    """Sizes in bytes of each dataset's objects, in the order of their keys."""
    estimates: Estimates
    prices: PriceTable
    region: str
    instance_types: tuple[str, ...]
    """Types to choose from, for groups that fix none."""
    default_volume_gb: int = 30
    """Size of a volume where nothing fixes it and less would do."""
    max_concurrency: int = 100
    """Most jobs, or parts of split jobs, that run at once."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instances that may run at once, by `pool_name`. What is missing has no known limit."""
    deadline_seconds: float | None = None
    objective: Objective = "cost"
    starts_per_second: float = 1.0
    """Pace at which SageMaker jobs are created."""
