"""Group the models that may share jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute
from contract.dataset.formats import format_of
from contract.dataset.input_options import InputOptions
from contract.job.job_input import input_of, types_agree
from contract.job.limits import MAX_COMMITS, MAX_MODELS_PER_JOB
from contract.job.scoring_spec import PinnedObject
from contract.job.snapshot import Snapshot
from contract.layout import OutputLayout
from contract.planner.plan import JobCapacity
from contract.workflow.scoring_request import JOINED_MODELS_PER_JOB, ExecutionRequest
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet


@dataclass(frozen=True)
class JobGroup:
    """Models that may share jobs, or the models of a fleet, which are one job."""

    snapshot: Snapshot
    models: tuple[ModelSpec, ...]
    fixed: Compute
    """Compute that nothing may change: what the request, the models' records or the fleet's record set."""
    compute: Compute
    """The same, with the stage's values where they set none."""
    max_attempts: int
    output_layout: OutputLayout = "per_model"
    joined_nulls: bool = False
    chunks: tuple[tuple[ModelSpec, ...], ...] | None = None
    """The models of each job; None if the planner decides."""
    models_per_job: int | None = 1
    """Most models of a job; None if the planner decides."""
    fleet: ChosenFleet | None = None
    left: float = 1.0
    """Share of the commits that no earlier execution has made."""

    @property
    def name(self) -> str:
        """Name in texts. No other group of the execution has it."""
        return self.models[0].model_id if self.fleet is None else f"fleet {self.fleet.spec.fleet_id}"

    @property
    def dataset(self) -> str:
        return self.snapshot.dataset

    @property
    def is_kept(self) -> bool:
        """Whether earlier executions have made all commits, so that its jobs only copy and start no instance."""
        return self.left <= 0

    @property
    def max_models_per_job(self) -> int:
        """Most models of a job, whatever the planner would choose."""
        return max(1, min(MAX_MODELS_PER_JOB, MAX_COMMITS // max(1, len(self.snapshot.objects))))

    def largest_chunks(self) -> tuple[tuple[ModelSpec, ...], ...]:
        """Return the models of each job if as many as allowed share one."""
        if self.chunks is not None:
            return self.chunks
        size = self.max_models_per_job
        return tuple(self.models[start : start + size] for start in range(0, len(self.models), size))


@dataclass(frozen=True)
class PlannedChunk:
    """The models of one job, with its compute."""

    group: JobGroup
    models: tuple[ModelSpec, ...]
    compute: Compute
    expected: JobCapacity | None = None
    """What the planner expects of the job; None if it does not know."""
    is_chosen: bool = False
    """Whether the planner was free to choose."""


def without_plan(groups: Sequence[JobGroup]) -> list[PlannedChunk]:
    """Return the jobs with as many models as allowed, on the compute of records and settings."""
    return [PlannedChunk(group, chunk, group.compute) for group in groups for chunk in group.largest_chunks()]


class _SharedBy(NamedTuple):
    """The values that all models of a job have in common."""

    dataset: str
    fixed: Compute
    compute: Compute
    max_attempts: int
    image: ImageVariant
    options: InputOptions
    partition_columns: tuple[str, ...]
    group: str


def form_groups(
    request: ExecutionRequest,
    assignments: Sequence[Assignment],
    snapshots: Mapping[str, Snapshot],
    stage_default: Compute,
    *,
    fleets: Sequence[ChosenFleet] = (),
    groups: Mapping[str, str] | None = None,
    left: Mapping[str, float] | None = None,
    models_per_job: int | str = 1,
    is_planned: bool = False,
) -> list[JobGroup]:
    """Return the groups of models that may share jobs, and one group per fleet.

    `groups` keeps models apart: only those with the same text share a job. `left` has the share of
    commits that are left to make, by the id of the model or fleet; all of them if it is missing.
    `models_per_job` is the stage's. `is_planned` tells whether the planner may change what is only
    the stage's default.

    Models share a job only when they share dataset, compute, attempts, image, and the way objects
    are read. Compute settings of the request override those of the model, which override those of
    the stage.
    """
    requested = Compute(instance_type=request.instance_type, instance_count=request.instance_count, spot=request.spot)
    share = left or {}
    models: dict[_SharedBy, list[ModelSpec]] = {}
    for assignment in sorted(assignments, key=lambda item: item.version.spec.model_id):
        version, spec = assignment.version, assignment.version.spec
        if request.tolerated_quarantine_fraction is not None:
            spec = replace(spec, tolerated_quarantine_fraction=request.tolerated_quarantine_fraction)
        reading = input_of(spec)
        objects = len(snapshots[assignment.dataset].objects)
        fixed = _limit_instances(requested.with_fallback(version.compute), objects)
        compute = _limit_instances(fixed.with_fallback(stage_default), objects)
        shared = _SharedBy(
            dataset=assignment.dataset,
            fixed=fixed if is_planned else compute,
            compute=compute,
            max_attempts=version.max_attempts,
            image=image_of(spec.framework, spec.accelerator),
            options=reading.options,
            partition_columns=reading.partition_columns,
            group=groups.get(spec.model_id, "") if groups else "",
        )
        models.setdefault(shared, []).append(spec)
    size = _models_per_job(request, models_per_job)
    found = []
    for by, specs in models.items():
        snapshot = snapshots[by.dataset]
        is_typed = bool(by.partition_columns) or _may_have_text(snapshot.objects, by.options)
        split = _split_models(specs, size, is_typed_by_models=is_typed)
        one = JobGroup(
            snapshot=snapshot,
            models=tuple(specs),
            fixed=by.fixed,
            compute=by.compute,
            max_attempts=by.max_attempts,
            output_layout=request.output_layout,
            joined_nulls=request.joined_nulls,
            chunks=tuple(split),
            models_per_job=size,
            left=max((share[spec.model_id] for spec in specs if spec.model_id in share), default=1.0),
        )
        # Any models of a group may share a job, if the planner decides.
        found += [one] if size else [replace(one, models=agreeing, chunks=None) for agreeing in split]
    for fleet in fleets:
        group = _fleet_group(fleet, requested, snapshots[fleet.dataset], stage_default, share)
        found.append(group if is_planned else replace(group, fixed=group.compute))
    return found


def _fleet_group(
    fleet: ChosenFleet, requested: Compute, snapshot: Snapshot, stage_default: Compute, left: Mapping[str, float]
) -> JobGroup:
    fixed = _limit_instances(requested.with_fallback(fleet.record.compute), len(snapshot.objects))
    models = tuple(member.spec for member in fleet.members)
    return JobGroup(
        snapshot=snapshot,
        models=models,
        chunks=(models,),
        fixed=fixed,
        compute=_limit_instances(fixed.with_fallback(stage_default), len(snapshot.objects)),
        max_attempts=fleet.record.max_attempts,
        output_layout="fleet",
        fleet=fleet,
        left=left.get(fleet.assignment.version.spec.model_id, 1.0),
    )


def _models_per_job(request: ExecutionRequest, stage_default: int | str) -> int | None:
    """Return the most models of a job; None if the planner decides.

    Joined outputs have the columns of a job's models, which do not depend on estimates.
    """
    if request.output_layout == "joined":
        return request.models_per_job if isinstance(request.models_per_job, int) else JOINED_MODELS_PER_JOB
    wanted = stage_default if request.models_per_job is None else request.models_per_job
    return wanted if isinstance(wanted, int) else None


def _split_models(
    models: Sequence[ModelSpec], size: int | None, *, is_typed_by_models: bool
) -> list[tuple[ModelSpec, ...]]:
    """Split models into lists of at most `size`, if there is one.

    Columns of text objects, and columns from keys, get their types from the models, which must then
    agree.
    """
    groups: list[list[ModelSpec]] = []
    unfilled: list[tuple[list[ModelSpec], dict[str, str]]] = []
    for spec in models:
        types = input_of(spec).types if is_typed_by_models else {}
        found = next((entry for entry in unfilled if types_agree(types, entry[1])), None)
        if found is None:
            found = ([], {})
            groups.append(found[0])
            unfilled.append(found)
        found[0].append(spec)
        found[1].update(types)
        if len(found[0]) == size:
            unfilled.remove(found)
    return [tuple(group) for group in groups]


def _may_have_text(objects: Iterable[PinnedObject], options: InputOptions) -> bool:
    return any((kind := format_of(item.key, options.format)) is None or kind.name != "parquet" for item in objects)


def _limit_instances(compute: Compute, object_count: int) -> Compute:
    if compute.instance_count is None:
        return compute
    # Objects are not split between instances, so more instances than objects would only add cost.
    return Compute(instance_count=min(compute.instance_count, object_count)).with_fallback(compute)
