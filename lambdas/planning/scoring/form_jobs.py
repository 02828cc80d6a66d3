"""Stage 4 of the draft: form jobs of the models that can share one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.instance_types import check_allowed
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, instance_types
from contract.dataset.formats import format_of
from contract.dataset.input_options import InputOptions
from contract.job.fleet import fleet_job_id
from contract.job.job_input import input_of, types_agree
from contract.job.joined import check_joined
from contract.job.parts import JobPart, Sharding
from contract.job.scoring_spec import SCORING_CONTRACT, JobSource, JobSpec, PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot
from contract.layout import OutputLayout
from contract.planner.problem import MAX_COMMITS
from contract.problems import Problem
from contract.status import JobStatus
from contract.table.job_parts import whole_job
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer
from contract.workflow.scoring_request import JOINED_MODELS_PER_JOB, ExecutionRequest
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet
from lambdas.planning.scoring.shards import Division, divide


@dataclass(frozen=True)
class PlannedJob:
    """One job of the plan, before it is written."""

    job_id: str
    snapshot: Snapshot
    models: tuple[ModelSpec, ...]
    compute: Compute
    max_attempts: int
    output_layout: OutputLayout = "per_model"
    joined_nulls: bool = False
    sharding: Sharding | None = None
    """How the objects are divided between instances; None for a job of one instance."""
    part: JobPart | None = None
    """Set if this is a part of a job."""
    parts: tuple["PlannedJob", ...] = ()
    """The parts of a split job, which run in its place."""
    fleet: ChosenFleet | None = None
    """Set if the models are a fleet."""
    sources: tuple[JobSource, ...] = ()
    """Jobs of earlier executions whose commits are kept."""

    @property
    def items(self) -> tuple["PlannedJob", ...]:
        """What the Map runs: the parts of a split job, else the job."""
        return self.parts or (self,)

    @property
    def dataset(self) -> str:
        return self.snapshot.dataset

    @property
    def objects(self) -> tuple[PinnedObject, ...]:
        return self.snapshot.objects

    @property
    def input_bytes(self) -> int:
        return self.snapshot.total_bytes

    @property
    def image(self) -> ImageVariant:
        """The image that serves all models of the job."""
        return image_of(self.models[0].framework, self.models[0].accelerator)

    @property
    def committing_models(self) -> tuple[ModelSpec, ...]:
        """The models with a commit per object: see `JobSpec.committing_models`."""
        return self.models if self.fleet is None else (self.fleet.assignment.version.spec,)

    @property
    def commits_per_object(self) -> int:
        return len(self.models) if self.fleet is None else 1

    def spec(self, execution_id: str, snapshot: SnapshotRef) -> JobSpec:
        return JobSpec(
            execution_id=execution_id,
            job_id=self.job_id,
            dataset=self.dataset,
            dataset_bucket=self.snapshot.dataset_bucket,
            models=self.models,
            snapshot=snapshot,
            output_layout=self.output_layout,
            joined_nulls=self.joined_nulls,
            fleet=None if self.fleet is None else self.fleet.spec,
            scoring_contract=SCORING_CONTRACT,
            sources=self.sources,
        )

    def record(self, execution_id: str, created_at: str, image_uri: str = "") -> JobRecord:
        models = self.committing_models
        return JobRecord(
            execution_id=execution_id,
            job_id=self.job_id,
            status=JobStatus.PENDING,
            dataset=self.dataset,
            model_ids=tuple(model.model_id for model in models),
            model_versions=tuple(model.version for model in models),
            object_count=len(self.objects),
            input_bytes=self.input_bytes,
            compute=self.compute,
            max_attempts=self.max_attempts,
            created_at=created_at,
            image_uri=image_uri,
            sharding=self.sharding,
            part=self.part,
            output_layout=self.output_layout,
            fleet="" if self.fleet is None else self.fleet.spec.fleet_id,
            fleet_models=0 if self.fleet is None else len(self.models),
        )

    def pointer(self, execution_id: str) -> JobPointer:
        return JobPointer(execution_id, self.job_id, attempt=1)


class _SharedBy(NamedTuple):
    """The values that all models of a job have in common."""

    dataset: str
    compute: Compute
    max_attempts: int
    image: ImageVariant
    options: InputOptions
    partition_columns: tuple[str, ...]
    group: str


def form_jobs(
    request: ExecutionRequest,
    assignments: Sequence[Assignment],
    snapshots: Mapping[str, Snapshot],
    stage_default: Compute,
    *,
    fleets: Sequence[ChosenFleet] = (),
    groups: Mapping[str, str] | None = None,
) -> list[PlannedJob]:
    """Return the jobs, largest first, so that the longest does not start last. A fleet is one job.

    `groups` keeps models apart: only those with the same text share a job.

    Models share a job only when they share dataset, compute, attempts, image, and the way objects
    are read. Compute settings of the request override those of the model, which override those of
    the stage.
    """
    requested = Compute(instance_type=request.instance_type, instance_count=request.instance_count, spot=request.spot)
    models: dict[_SharedBy, list[ModelSpec]] = {}
    for assignment in sorted(assignments, key=lambda item: item.version.spec.model_id):
        version, dataset, spec = assignment.version, assignment.dataset, assignment.version.spec
        if request.tolerated_quarantine_fraction is not None:
            spec = replace(spec, tolerated_quarantine_fraction=request.tolerated_quarantine_fraction)
        compute = requested.with_fallback(version.compute).with_fallback(stage_default)
        reading = input_of(spec)
        shared = _SharedBy(
            dataset=dataset,
            compute=_limit_instances(compute, len(snapshots[dataset].objects)),
            max_attempts=version.max_attempts,
            image=image_of(spec.framework, spec.accelerator),
            options=reading.options,
            partition_columns=reading.partition_columns,
            group=groups.get(spec.model_id, "") if groups else "",
        )
        models.setdefault(shared, []).append(spec)
    jobs = [
        PlannedJob(
            job_id=_job_id(group),
            snapshot=snapshots[by.dataset],
            models=group,
            compute=by.compute,
            max_attempts=by.max_attempts,
            output_layout=request.output_layout,
            joined_nulls=request.joined_nulls,
        )
        for by, specs in models.items()
        for group in _split_models(
            specs,
            request.models_per_job or (JOINED_MODELS_PER_JOB if request.output_layout == "joined" else 1),
            is_typed_by_models=bool(by.partition_columns) or _may_have_text(snapshots[by.dataset].objects, by.options),
        )
    ]
    jobs += [_fleet_job(fleet, requested, snapshots[fleet.dataset], stage_default) for fleet in fleets]
    divisions: dict[tuple[str, int, bool], Division] = {}
    return largest_first([_divided(job, divisions) for job in jobs])


def _fleet_job(fleet: ChosenFleet, requested: Compute, snapshot: Snapshot, stage_default: Compute) -> PlannedJob:
    compute = requested.with_fallback(fleet.record.compute).with_fallback(stage_default)
    return PlannedJob(
        job_id=fleet_job_id(fleet.spec.fleet_id),
        snapshot=snapshot,
        models=tuple(member.spec for member in fleet.members),
        compute=_limit_instances(compute, len(snapshot.objects)),
        max_attempts=fleet.record.max_attempts,
        output_layout="fleet",
        fleet=fleet,
    )


def largest_first(jobs: Iterable[PlannedJob]) -> list[PlannedJob]:
    return sorted(jobs, key=lambda job: (-job.input_bytes * job.commits_per_object, job.job_id))


def _divided(job: PlannedJob, divisions: dict[tuple[str, int, bool], Division]) -> PlannedJob:
    """Return the job with its sharding and parts. Jobs over the same objects share `divisions`."""
    instances = job.compute.instance_count or 1
    if instances == 1:
        return job
    key = (job.dataset, instances, job.compute.uses_spot)
    if key not in divisions:
        divisions[key] = divide(job.snapshot, instances, needs_parts=job.compute.uses_spot)
    division = divisions[key]
    job = replace(job, sharding=division.sharding)
    one_instance = replace(job.compute, instance_count=1)
    parts = []
    for number, snapshot in enumerate(division.parts, 1):
        part = JobPart(job.job_id, number, len(division.parts))
        parts.append(replace(job, job_id=part.id, snapshot=snapshot, compute=one_instance, part=part))
    return replace(job, parts=tuple(parts))


def check_commit_counts(jobs: Sequence[PlannedJob]) -> list[Problem]:
    """Return the problems of jobs whose ledger VerifyOutput may not read in Lambda's 15 minutes.

    Such a job would fail after everything was scored.
    """
    problems = []
    for job in (item for whole in jobs for item in whole.items):
        if len(job.objects) * job.commits_per_object > MAX_COMMITS:
            value = f"{len(job.objects):,} objects for {job.commits_per_object:,} models"
            remedy = "Lower models_per_job, merge small objects, or split the dataset."
            expected = f"at most {MAX_COMMITS:,} objects times models"
            problems.append(Problem(f"job {job.job_id!r}", value, expected, remedy))
    return problems


def check_joined_outputs(request: ExecutionRequest, jobs: Sequence[PlannedJob]) -> list[Problem]:
    """Return the problems of models that cannot share the joined output of their job."""
    if request.output_layout != "joined":
        return []
    return [problem for job in jobs if job.fleet is None for problem in check_joined(job.job_id, job.models)]


def check_instance_types(jobs: Sequence[PlannedJob], allowed: Sequence[str]) -> list[Problem]:
    """Return one problem per instance type that the stage does not allow."""
    first_jobs: dict[str, PlannedJob] = {}
    for job in jobs:
        for instance_type in instance_types(job.compute):
            first_jobs.setdefault(instance_type, job)
    problems = []
    for instance_type, job in sorted(first_jobs.items()):
        name = "instance_type" if instance_type == job.compute.instance_type else "larger_instance_types"
        problems += check_allowed(f"job {job.job_id!r}: {name}", instance_type, allowed)
    return problems


def split_notes(jobs: Sequence[PlannedJob]) -> list[str]:
    """Return a note per way in which jobs are split, with the first of them."""
    split: dict[tuple[str, int], list[PlannedJob]] = {}
    for job in jobs:
        if job.parts:
            split.setdefault((job.dataset, len(job.parts)), []).append(job)
    notes = []
    for same in split.values():
        whole = whole_job([part.record("", "") for part in same[0].parts])
        others = f" and {len(same) - 1:,} more" if len(same) > 1 else ""
        notes += [f"job {whole.job_id!r}{others}: {note}" for note in whole.notes]
    return notes


def _split_models(models: Sequence[ModelSpec], size: int, *, is_typed_by_models: bool) -> list[tuple[ModelSpec, ...]]:
    """Split models into groups of at most `size`.

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
    # Objects are not split between instances, so more instances than objects would only add cost.
    return Compute(instance_count=min(compute.instance_count or 1, object_count)).with_fallback(compute)


def _job_id(models: Sequence[ModelSpec]) -> str:
    first = models[0].model_id
    return first if len(models) == 1 else f"{first}.and-{len(models) - 1}-more"
