"""How long a job takes, and how much disk it needs: the model of time that the planner computes with.

A job starts its instances, downloads its objects and artifacts, loads its models, and then scores
while it uploads. Of an instance with v vCPUs, v workers score at once.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from contract.planner.estimates import Estimate
from contract.planner.instances import InstanceSize, size_of
from contract.planner.problem import ModelGroup, PlanningProblem

LOADED_BYTES_PER_ARTIFACT_BYTE = 4
"""Memory of a loaded model per byte of its artifact, as the container assumes."""
MODEL_MEMORY_SHARE = 0.5
"""Share of an instance's memory that loaded models may take."""
UNKNOWN_SIZE = InstanceSize(vcpus=2, memory_gib=8)
"""Size that is assumed for a fixed type that the table does not have."""
_GB = 10**9


class Load(NamedTuple):
    """What models cost, added up."""

    models: float = 0
    artifact_bytes: float = 0
    load_seconds: float = 0.0
    row_seconds: float = 0.0
    """Seconds of one worker per row of the dataset."""
    row_seconds_low: float = 0.0
    row_seconds_high: float = 0.0
    output_ratio: float = 0.0


@dataclass(frozen=True)
class Machine:
    """An instance type with what is known of its speed."""

    instance_type: str
    size: InstanceSize
    startup: Estimate
    download: Estimate
    upload: Estimate
    usd_per_hour: float | None


@dataclass(frozen=True)
class GroupWork:
    """The work of a group on one instance type."""

    group: ModelGroup
    machine: Machine
    loads: tuple[Load, ...]
    """One per model."""
    total: Load
    input_bytes: int
    largest_object: int
    objects: int
    bytes_per_row: Estimate

    def seconds(self, load: Load, shard_bytes: float) -> Estimate:
        """Return the time of an instance that scores a shard with models."""
        machine = self.machine
        moved = shard_bytes + load.artifact_bytes
        rows = shard_bytes / self.bytes_per_row.value
        workers = self.workers(load)
        work = rows * load.row_seconds / workers
        upload = shard_bytes * self.output_ratio(load) / machine.upload.value
        value = machine.startup.value + moved / machine.download.value + load.load_seconds + max(work, upload)
        fast = [
            machine.startup.value - machine.startup.low,
            moved / machine.download.value - moved / machine.download.high,
            work
            - work
            * _ratio(load.row_seconds_low, load.row_seconds)
            * self.bytes_per_row.value
            / self.bytes_per_row.high,
        ]
        slow = [
            machine.startup.high - machine.startup.value,
            moved / machine.download.low - moved / machine.download.value,
            work * _ratio(load.row_seconds_high, load.row_seconds) * self.bytes_per_row.value / self.bytes_per_row.low
            - work,
        ]
        return Estimate(value, value - math.hypot(*fast), value + math.hypot(*slow))

    def workers(self, load: Load) -> int:
        """Return how many workers fit: each loads all models of the job."""
        size = self.machine.size
        if self.group.is_fleet or not load.artifact_bytes:
            return size.vcpus
        room = size.memory_gib * 2**30 * MODEL_MEMORY_SHARE
        return max(1, min(size.vcpus, int(room / (load.artifact_bytes * LOADED_BYTES_PER_ARTIFACT_BYTE))))

    def output_ratio(self, load: Load) -> float:
        """Return the bytes of all outputs per byte of input."""
        return load.output_ratio + self.group.shared_output_ratio

    def disk_gb(self, load: Load, shard_bytes: float) -> int:
        """Return the volume that holds a shard with its outputs and the artifacts, packed and unpacked, in GB."""
        return max(1, math.ceil((shard_bytes * (1 + self.output_ratio(load)) + 2 * load.artifact_bytes) / _GB))

    @property
    def rows(self) -> int | None:
        """Rows of the dataset; None if nothing has measured it."""
        return round(self.input_bytes / self.bytes_per_row.value) if self.bytes_per_row.count else None


def machine(problem: PlanningProblem, instance_type: str) -> Machine:
    """Return an instance type with the estimates and the price of the problem."""
    return Machine(
        instance_type=instance_type,
        size=size_of(instance_type) or UNKNOWN_SIZE,
        startup=problem.estimates.startup_seconds(instance_type),
        download=problem.estimates.transfer_bytes_per_second(instance_type),
        upload=problem.estimates.upload_bytes_per_second(instance_type),
        usd_per_hour=problem.prices.usd_per_hour(problem.region, problem.kind, instance_type),
    )


def group_work(problem: PlanningProblem, group: ModelGroup, on: Machine) -> GroupWork:
    """Return the work of a group on an instance type."""
    sizes = problem.datasets[group.dataset]
    loads = tuple(_loads(problem, group, on.instance_type))
    return GroupWork(
        group=group,
        machine=on,
        loads=loads,
        total=add_up(loads),
        input_bytes=sum(sizes),
        largest_object=max(sizes, default=0),
        objects=len(sizes),
        bytes_per_row=problem.estimates.bytes_per_row(group.measured_dataset or group.dataset),
    )


def add_up(loads: Sequence[Load]) -> Load:
    """Return the load of several models in one job."""
    return Load(*(sum(column) for column in zip(*loads, strict=True))) if loads else Load()


def _loads(problem: PlanningProblem, group: ModelGroup, instance_type: str) -> Iterable[Load]:
    # In a fleet, each row is scored once, so a model's part of the rows is taken to be 1/n.
    share = 1 / len(group.models) if group.is_fleet and group.models else 1.0
    for model in group.models:
        rate = problem.estimates.rows_per_second(model.model_id, model.format, model.artifact_bytes, instance_type)
        yield Load(
            models=1,
            artifact_bytes=model.artifact_bytes,
            load_seconds=problem.estimates.load_seconds(model.format, model.artifact_bytes).value,
            row_seconds=share / rate.value,
            row_seconds_low=share / rate.high,
            row_seconds_high=share / rate.low,
            output_ratio=model.output_ratio * share,
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
