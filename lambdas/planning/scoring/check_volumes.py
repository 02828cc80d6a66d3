"""Check whether the volumes of a job's instances can hold its input, artifacts and outputs.

SageMaker gives each of n instances about 1/n of the objects, by count. It does not document which.
So two things are certain: some instance holds at least 1/n of the bytes, and some instance holds the
largest object with its outputs. Both hold for the parts of a split job too. Only what cannot fit
under these two is refused. A shard that may not fit, with all of its outputs, is noted.

A `volume_size_gb` is taken for GiB, the larger unit, when a job is refused. Proposed values are in
GB of 10^9 bytes, which leaves 7 % for the file system.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.catalog.instance_types import MAX_INSTANCES, MAX_VOLUME_GB, has_local_storage
from contract.catalog.model_spec import ModelSpec
from contract.dataset.formats import DeclaredFormat, format_of
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from lambdas.planning.scoring.form_jobs import PlannedJob

_GIB = 1 << 30
_GB = 10**9


@dataclass(frozen=True)
class _Sizes:
    """Sizes of a dataset's objects, in bytes. They are the same for every job that reads them in one format."""

    total: int
    largest: PinnedObject
    largest_parquet: PinnedObject | None

    @classmethod
    def of(cls, objects: Sequence[PinnedObject], declared: DeclaredFormat) -> "_Sizes":
        parquet = [item for item in objects if _is_parquet(item, declared)]
        return cls(
            total=sum(item.size for item in objects),
            largest=max(objects, key=_size),
            largest_parquet=max(parquet, key=_size, default=None),
        )


@dataclass(frozen=True)
class _Need:
    """What the fullest instance of a job must hold, in bytes."""

    job: PlannedJob
    sizes: _Sizes

    @property
    def instances(self) -> int:
        return self.job.compute.instance_count or 1

    @property
    def volume_gb(self) -> int:
        return self.job.compute.volume_size_gb or 0

    @property
    def artifacts(self) -> int:
        return sum(model.artifact_bytes for model in self.job.models)

    @property
    def copies(self) -> int:
        """Outputs that contain the bytes of a Parquet object."""
        copies = sum(_copies_input(model) for model in self.job.committing_models)
        return min(1, copies) if self.job.output_layout == "joined" else copies

    @property
    def largest(self) -> tuple[PinnedObject, int]:
        """The object that needs most room, and its bytes with those of its outputs."""
        parquet = self.sizes.largest_parquet
        copied = 0 if parquet is None else parquet.size * (1 + self.copies)
        if parquet is not None and copied > self.sizes.largest.size:
            return parquet, copied
        return self.sizes.largest, self.sizes.largest.size

    @property
    def average_shard(self) -> int:
        return math.ceil(self.sizes.total / self.instances)

    @property
    def certain(self) -> int:
        return max(self.average_shard, self.largest[1]) + self.artifacts

    @property
    def expected(self) -> int:
        """Room for shards as even as the objects permit, with all outputs that copy their input."""
        copies = self.copies if self.sizes.largest_parquet is not None else 0
        shard = max(self.average_shard, self.sizes.largest.size)
        return max(shard * (1 + copies) + self.artifacts, self.certain)


def check_volumes(jobs: Sequence[PlannedJob]) -> list[Problem]:
    """Return the problems of jobs whose volumes cannot hold what they certainly must."""
    return [_problem(need) for need in _needs(jobs) if need.certain > need.volume_gb * _GIB]


def volume_notes(jobs: Sequence[PlannedJob]) -> list[str]:
    """Return a note if outputs may not fit beside the input, for the job that needs most."""
    short = [need for need in _needs(jobs) if need.certain <= need.volume_gb * _GIB < need.expected]
    if not short:
        return []
    worst = max(short, key=lambda need: need.expected - need.volume_gb * _GIB)
    counted = "1 job" if len(short) == 1 else f"{len(short):,} jobs"
    note = (
        f"{counted} may need larger volumes: an instance of job {worst.job.job_id!r} holds about "
        f"{_gb(worst.expected)} with its outputs, and volume_size_gb is {worst.volume_gb}. {_remedy(worst)}"
    )
    return [note]


def _needs(jobs: Sequence[PlannedJob]) -> list[_Need]:
    one_of_each = {_sizes_key(job): job for job in jobs}
    sizes = {key: _Sizes.of(job.objects, key[1]) for key, job in one_of_each.items()}
    needs = [_Need(job, sizes[_sizes_key(job)]) for job in jobs]
    # The local storage of an instance type is fixed, and replaces the volume.
    return [need for need in needs if not has_local_storage(need.job.compute.instance_type or "")]


def _sizes_key(job: PlannedJob) -> tuple[str, DeclaredFormat]:
    """Return what decides about the sizes of a job's objects. The models of a job have one format of input."""
    return job.dataset, job.models[0].input.format


def _problem(need: _Need) -> Problem:
    item, with_outputs = need.largest
    if with_outputs >= need.average_shard:
        outputs = " and the outputs that contain it" if with_outputs > item.size else ""
        why = f"an instance holds the object {item.key!r}{outputs}"
    elif need.instances == 1:
        why = "the instance holds the whole input"
    else:
        why = f"{need.instances:,} instances share {_gb(need.sizes.total)} of input"
    field = f"job {need.job.job_id!r}: volume_size_gb"
    return Problem(field, need.volume_gb, f"at least {_gb(need.certain)}, because {why}", _remedy(need))


def _remedy(need: _Need) -> str:
    ways = []
    volume_gb = math.ceil(need.expected / _GB)
    if volume_gb <= MAX_VOLUME_GB:
        ways.append(f"set volume_size_gb of the model or the stage to {volume_gb:,} or more")
    item, with_outputs = need.largest
    room = need.volume_gb * _GB - need.artifacts
    if with_outputs > room:
        ways.append(f"split the object {item.key!r}" if volume_gb > MAX_VOLUME_GB else "split large objects")
    elif room > 0:
        copies = need.copies if need.sizes.largest_parquet is not None else 0
        instances = math.ceil(need.sizes.total * (1 + copies) / room)
        if need.instances < instances <= min(MAX_INSTANCES, len(need.job.objects)):
            ways.append(f"instance_count to {instances:,} or more" if ways else f"set instance_count to {instances:,}")
    text = ", or ".join(ways or ["split the dataset"])
    return f"{text[0].upper()}{text[1:]}."


def _copies_input(model: ModelSpec) -> bool:
    """Return whether the model's output of a Parquet object contains the object's bytes."""
    is_key_from_name = set(model.partition_columns) & set(model.key_columns)
    return model.output_format == "parquet" and model.columns == "all" and not is_key_from_name


def _is_parquet(item: PinnedObject, declared: DeclaredFormat) -> bool:
    kind = format_of(item.key, declared)
    return kind is not None and kind.name == "parquet"


def _size(item: PinnedObject) -> int:
    return item.size


def _gb(size: int) -> str:
    return f"{size / _GB:,.1f} GB"
