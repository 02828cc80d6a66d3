"""Fleets and data that are simulated: what is true, and the samples that the planner knows of it."""

import math
import random
from dataclasses import dataclass, field
from functools import cached_property

from contract.planner.algorithm.shards import Dataset
from contract.planner.estimates import Estimates, SampleKind, Samples, format_class, format_key, model_key
from contract.planner.instances import size_of
from contract.planner.prices import PriceTable, RegionPrices
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem

REGION = "simulated"
USD_PER_VCPU_HOUR = 0.0576
TYPES = ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge")
PRICES = PriceTable(
    "2026-12-01",
    "simulated: one price per vCPU and hour",
    {REGION: RegionPrices({name: size.vcpus * USD_PER_VCPU_HOUR for name in TYPES if (size := size_of(name))})},
)
STARTUP_SECONDS = 240.0
"""Median time until the instances of a SageMaker job run."""
BYTES_PER_SECOND = 60e6
"""Median rate of downloads per instance."""
BYTES_PER_ROW = 100.0
FORMAT = "xgboost-json"
_SAMPLES = 5
_GB = 10**9


@dataclass(frozen=True)
class TrueModel:
    """A model as it is, which the planner only knows from samples."""

    work: ModelWork
    rows_per_second: float
    """Of one vCPU."""
    load_seconds: float


@dataclass(frozen=True)
class Scenario:
    """A fleet with its data and its account. Values are drawn from `seed`."""

    name: str
    models: int
    objects: int
    """Objects of all datasets together."""
    total_bytes: int
    datasets: int = 1
    model_skew: float = 0.3
    """Standard deviation of the logarithm of the models' speeds, and of half that of their sizes."""
    object_skew: float = 0.3
    """Standard deviation of the logarithm of the objects' sizes."""
    rows_per_second: float = 50_000.0
    """Median speed of the models on one vCPU."""
    measured: float = 1.0
    """Share of the models whose speed has been measured. The planner knows the others' format only."""
    quotas: dict[str, int] = field(
        default_factory=lambda: {"ml.m5.large": 50, "ml.m5.xlarge": 50, "ml.m5.2xlarge": 30, "ml.m5.4xlarge": 20}
    )
    max_concurrency: int = 100

    def draw(self, seed: int) -> "Draw":
        """Return the values of one seed."""
        # A text, because the hash of a tuple of texts differs between processes.
        rng = random.Random(f"{self.name}/{self.models}/{seed}")  # noqa: S311 - a simulation
        per_dataset = max(1, self.objects // self.datasets)
        sizes = {
            f"data-{number:05d}": [rng.lognormvariate(0, self.object_skew) for _ in range(per_dataset)]
            for number in range(self.datasets)
        }
        scale = self.total_bytes / sum(map(sum, sizes.values()))
        objects = {name: [max(1, int(size * scale)) for size in values] for name, values in sizes.items()}
        names = sorted(objects)
        by_dataset: dict[str, list[TrueModel]] = {name: [] for name in names}
        for number in range(self.models):
            artifact = int(20_000 * rng.lognormvariate(0, self.model_skew / 2) + 1_000)
            by_dataset[names[number % len(names)]].append(
                TrueModel(
                    ModelWork(f"model-{number:06d}", FORMAT, artifact, 0.05),
                    self.rows_per_second * rng.lognormvariate(0, self.model_skew),
                    0.02 * rng.lognormvariate(0, 0.2),
                )
            )
        return Draw(self, objects, {name: tuple(models) for name, models in by_dataset.items() if models}, seed)


@dataclass(frozen=True)
class Draw:
    """The values of a scenario and a seed."""

    scenario: Scenario
    objects: dict[str, list[int]]
    models: dict[str, tuple[TrueModel, ...]]
    seed: int

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        return {name: Dataset(sizes) for name, sizes in self.objects.items()}

    def estimates(self) -> Estimates:
        """Return what the planner knows: samples with noise, of the measured models, on one type."""
        rng = random.Random(f"{self.scenario.name}/{self.scenario.models}/{self.seed}/samples")  # noqa: S311

        def noisy(value: float, spread: float) -> list[float]:
            return [value * rng.lognormvariate(0, spread) for _ in range(_SAMPLES)]

        kinds: dict[SampleKind, dict[str, list[float]]] = {
            "startup": {name: noisy(STARTUP_SECONDS, 0.15) for name in TYPES},
            "download": {name: noisy(BYTES_PER_SECOND, 0.2) for name in TYPES},
            "upload": {name: noisy(BYTES_PER_SECOND, 0.2) for name in TYPES},
            "bytes-per-row": {name: [BYTES_PER_ROW] * _SAMPLES for name in self.objects},
            "rows": {},
            "load": {format_class(FORMAT, 10**power): noisy(0.02, 0.2) for power in (3, 4, 5, 6)},
        }
        rows = kinds["rows"]
        for models in self.models.values():
            for model in models:
                if rng.random() < self.scenario.measured:
                    key = model_key(model.work.model_id, "ml.m5.xlarge")
                    rows[key] = noisy(model.rows_per_second, 0.1)
                    alike = rows.setdefault(format_key(FORMAT, model.work.artifact_bytes, "ml.m5.xlarge"), [])
                    if len(alike) < 20:
                        alike.append(rows[key][0])
        return Estimates(Samples(kinds))

    def problem(self, deadline_seconds: float | None = None) -> PlanningProblem:
        """Return the planner's problem, with everything left to the planner."""
        fixed = Fixed(models_per_job=None)
        groups = tuple(
            ModelGroup(name, name, tuple(model.work for model in models), fixed, 432_000)
            for name, models in self.models.items()
        )
        return PlanningProblem(
            groups=groups,
            datasets=self.objects,
            estimates=self.estimates(),
            prices=PRICES,
            region=REGION,
            instance_types=TYPES,
            max_concurrency=self.scenario.max_concurrency,
            quotas=self.scenario.quotas,
            deadline_seconds=deadline_seconds,
        )


def small_models(models: int) -> Scenario:
    """Return a fleet of small models that all score one dataset of 200 MB."""
    return Scenario("small", models, 10, _GB // 5)


def skewed(models: int) -> Scenario:
    """Return models of very different speeds, over one dataset with objects of very different sizes."""
    return Scenario("skewed", models, 100, 5 * _GB, model_skew=1.0, object_skew=1.5)


def many_datasets(models: int) -> Scenario:
    """Return a fleet whose models score datasets of different sizes, twenty models each, partly unmeasured."""
    datasets = math.ceil(models / 20)
    return Scenario("datasets", models, datasets * 10, datasets * _GB, datasets=datasets, measured=0.7)
