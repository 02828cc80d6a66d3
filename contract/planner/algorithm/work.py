"""How long a job takes, and what it needs: the model of time that the planner computes with.

A job starts its instances, downloads its objects and artifacts, loads its models, and then scores
while it uploads. Of an instance with v vCPUs, v workers score at once.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise, repeat
from typing import NamedTuple

from contract.catalog.instance_types import MAX_VOLUME_GB
from contract.planner.algorithm.shards import Dataset
from contract.planner.estimates import Estimate
from contract.planner.instances import InstanceSize, size_of
from contract.planner.problem import ModelGroup, PlanningProblem, pool_name, priced_kind

LOADED_BYTES_PER_ARTIFACT_BYTE = 4
"""Memory of a loaded model per byte of its artifact, as the container assumes."""
MODEL_MEMORY_SHARE = 0.5
"""Share of an instance's memory that loaded models may take."""
UNKNOWN_SIZE = InstanceSize(vcpus=2, memory_gib=8)
"""Size that is assumed for a fixed type that the table does not have."""
_GB = 10**9
_USD_PER_VCPU_HOUR = 0.06
"""Weight of types without a price when plans are compared. It is the same for all, and never shown."""


class Load(NamedTuple):
    """What models cost, added up."""

    models: float = 0
    artifact_bytes: float = 0
    load_seconds: float = 0.0
    row_seconds: float = 0.0
    """Seconds of one worker per row of the dataset."""
    row_seconds_low: float = 0.0
    """The same if all models are fast, as far as they have been measured."""
    row_seconds_high: float = 0.0
    square_low: float = 0.0
    """Squares of what models that are only known by their format may be faster. Their errors are independent."""
    square_high: float = 0.0
    output_ratio: float = 0.0
    unmeasured: float = 0
    """Models whose speed is a default."""


@dataclass(frozen=True)
class Machine:
    """An instance type with what is known of its speed."""

    instance_type: str
    size: InstanceSize
    startup: Estimate
    download: Estimate
    upload: Estimate
    usd_per_hour: float | None
    spot: bool = False
    _startups: dict[int, Estimate] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def pool(self) -> str:
        """Name of the instances that share a quota."""
        return pool_name(self.instance_type, spot=self.spot)

    def startup_of(self, instances: int) -> Estimate:
        """Return the time until the slowest instance of a job has started."""
        found = self._startups.get(instances)
        if found is None:
            found = self._startups[instances] = self.startup.slowest_of(instances)
        return found

    @property
    def weight(self) -> float:
        """Price per second, or its substitute if there is no price, to compare plans."""
        price = self.usd_per_hour
        return (self.size.vcpus * _USD_PER_VCPU_HOUR if price is None else price) / 3_600


@dataclass(frozen=True)
class GroupWork:
    """The work of a group's models, or of some of them, on one instance type."""

    group: ModelGroup
    machine: Machine
    dataset: Dataset
    loads: tuple[Load, ...]
    """What is not divided: one per model, or one per job if the group's jobs are fixed."""
    names: tuple[tuple[str, ...], ...]
    """The models of each load."""
    model_loads: tuple[Load, ...]
    """One per model of the group."""
    total: Load
    bytes_per_row: Estimate

    def value_seconds(self, load: Load, shard_bytes: float, instances: int = 1) -> float:
        """Return the expected time of an instance that scores a shard with models, of several that start together."""
        startup = self.machine.startup_of(instances).value
        return self._value_seconds(load, shard_bytes, startup, self.workers(load), self.output_ratio(load))

    def _value_seconds(
        self, load: Load, shard_bytes: float, startup: float, workers: int, output_ratio: float
    ) -> float:
        machine = self.machine
        moved = (shard_bytes + load.artifact_bytes) / machine.download.value
        work = shard_bytes / self.bytes_per_row.value * load.row_seconds / workers
        upload = shard_bytes * output_ratio / machine.upload.value
        return startup + moved + load.load_seconds + max(work, upload)

    def seconds(self, load: Load, shard_bytes: float, instances: int = 1) -> Estimate:
        """Return the same with its band: the spreads of start-up, transfer and work are independent."""
        machine, per_row = self.machine, self.bytes_per_row
        startup = machine.startup_of(instances)
        workers, output_ratio = self.workers(load), self.output_ratio(load)
        value = self._value_seconds(load, shard_bytes, startup.value, workers, output_ratio)
        moved = shard_bytes * (1 + output_ratio) + load.artifact_bytes
        rows = shard_bytes / per_row.value / workers
        work = rows * load.row_seconds
        fast = math.hypot(
            startup.value - startup.low,
            moved / machine.download.value - moved / machine.download.high,
            work - rows * load.row_seconds_low * per_row.value / per_row.high,
            rows * math.sqrt(load.square_low),
        )
        slow = math.hypot(
            startup.high - startup.value,
            moved / machine.download.low - moved / machine.download.value,
            rows * load.row_seconds_high * per_row.value / per_row.low - work,
            rows * math.sqrt(load.square_high),
        )
        count = min(machine.startup.count, machine.download.count, per_row.count)
        return Estimate(value, max(0.0, value - fast), value + slow, count)

    def workers(self, load: Load) -> int:
        """Return how many workers fit: each loads all models of the job."""
        size = self.machine.size
        if self.group.is_fleet or not load.artifact_bytes:
            return size.vcpus
        return max(1, min(size.vcpus, int(self.model_room / load.artifact_bytes)))

    def is_split(self, instances: int) -> bool:
        """Return whether parts replace a job of several instances: always on spot capacity."""
        return instances > 1 and (self.group.spot or self.dataset.is_split(instances))

    @cached_property
    def model_room(self) -> float:
        """Bytes of artifacts that one worker can load."""
        return self.machine.size.memory_gib * 2**30 * MODEL_MEMORY_SHARE / LOADED_BYTES_PER_ARTIFACT_BYTE

    def output_ratio(self, load: Load) -> float:
        """Return the bytes of all outputs per byte of input."""
        return load.output_ratio + self.group.shared_output_ratio

    def disk_gb(self, load: Load, shard_bytes: float) -> int:
        """Return the GB that hold a shard with its outputs, and the artifacts, packed and unpacked."""
        return max(1, math.ceil((shard_bytes * (1 + self.output_ratio(load)) + 2 * load.artifact_bytes) / _GB))

    @cached_property
    def disk_limit_gb(self) -> int:
        """Largest volume that a job of the group can have on this type, in GB."""
        return self.machine.size.disk_gb or self.group.fixed.volume_size_gb or MAX_VOLUME_GB

    @cached_property
    def busy_seconds(self) -> float:
        """Expected time of one instance that does all of the work."""
        return self.value_seconds(self.total, self.dataset.total)

    @property
    def rows(self) -> int | None:
        """Rows of the dataset; None if nothing has measured it."""
        return round(self.dataset.total / self.bytes_per_row.value) if self.bytes_per_row.count else None

    @cached_property
    def heaviest(self) -> Load:
        """The slowest model or fixed job."""
        return max(self.loads, key=lambda load: load.row_seconds)

    def of_loads(self, indexes: Sequence[int]) -> "GroupWork":
        """Return the work of some of the models or fixed jobs."""
        loads = tuple(self.loads[index] for index in indexes)
        names = tuple(self.names[index] for index in indexes)
        return replace(self, names=names, loads=loads, total=add_up(loads))

    def sharing(self) -> "GroupWork":
        """Return the work of the whole group, with the number of models per job left to the planner."""
        names = tuple((model.model_id,) for model in self.group.models)
        return replace(self, group=self.group.sharing(), names=names, loads=self.model_loads)


def machine_of(problem: PlanningProblem, instance_type: str, spot: bool) -> Machine:
    """Return an instance type with the estimates and the price of the problem."""
    return Machine(
        instance_type=instance_type,
        size=size_of(instance_type) or UNKNOWN_SIZE,
        startup=problem.estimates.startup_seconds(instance_type),
        download=problem.estimates.transfer_bytes_per_second(instance_type),
        upload=problem.estimates.upload_bytes_per_second(instance_type),
        usd_per_hour=problem.prices.usd_per_hour(problem.region, priced_kind(spot), instance_type),
        spot=spot,
    )


def group_work(problem: PlanningProblem, group: ModelGroup, dataset: Dataset, machine: Machine) -> GroupWork:
    """Return the work of a group on an instance type."""
    model_loads = tuple(_loads(problem, group, machine.instance_type))
    edges = list(accumulate(group.job_sizes or repeat(1, len(group.models)), initial=0))
    spans = [slice(*pair) for pair in pairwise(edges)]
    return GroupWork(
        group=group,
        machine=machine,
        dataset=dataset,
        loads=tuple(add_up(model_loads[span]) for span in spans) if group.job_sizes else model_loads,
        names=tuple(tuple(model.model_id for model in group.models[span]) for span in spans),
        model_loads=model_loads,
        total=add_up(model_loads),
        bytes_per_row=problem.estimates.bytes_per_row(group.measured_dataset or group.dataset),
    )


def add_up(loads: Sequence[Load]) -> Load:
    """Return the load of several models in one job."""
    return Load(*map(sum, zip(*loads, strict=True))) if loads else Load()


def share_of(load: Load, share: float) -> Load:
    """Return the load of a share of the models, as if all were alike."""
    return Load(*(value * share for value in load))


def _loads(problem: PlanningProblem, group: ModelGroup, instance_type: str) -> Iterable[Load]:
    # In a fleet, each row is scored once, so a model's part of the rows is taken to be 1/n.
    share = 1 / len(group.models) if group.is_fleet and group.models else 1.0
    estimates = problem.estimates
    for model in group.models:
        rate = estimates.rows_per_second(model.model_id, model.format, model.artifact_bytes, instance_type)
        seconds, low, high = share / rate.value, share / rate.high, share / rate.low
        # The speeds of models of one format differ; their errors cancel out in a job of many.
        is_alone = rate.count > 0 and not estimates.has_measured(model.model_id)
        yield Load(
            models=1,
            artifact_bytes=model.artifact_bytes,
            load_seconds=estimates.load_seconds(model.format, model.artifact_bytes).value,
            row_seconds=seconds,
            row_seconds_low=seconds if is_alone else low,
            row_seconds_high=seconds if is_alone else high,
            square_low=(seconds - low) ** 2 if is_alone else 0.0,
            square_high=(high - seconds) ** 2 if is_alone else 0.0,
            output_ratio=model.output_ratio * share,
            unmeasured=rate.count == 0,
        )
