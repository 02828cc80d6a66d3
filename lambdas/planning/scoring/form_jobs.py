"""Stage 4 of the draft: form jobs of the models that can share one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.instance_types import check_allowed
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, instance_types
from contract.job.fleet import fleet_job_id
from contract.job.joined import check_joined
from contract.job.limits import MAX_COMMITS
from contract.job.parts import JobPart, Sharding
from contract.job.scoring_spec import SCORING_CONTRACT, JobSource, JobSpec, PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot
from contract.layout import OutputLayout
from contract.planner.plan import JobCapacity
from contract.pool.pool_records import pool_kind
from contract.problems import Problem
from contract.status import ExecutionKind, JobStatus
from contract.table.job_parts import whole_job
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.admission.quotas import InstanceNeed
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet
from lambdas.planning.scoring.form_groups import JobGroup, PlannedChunk, form_groups, without_plan
from lambdas.planning.scoring.shards import Division, divide
from lambdas.stage.settings import PlanDefaults


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
    expected: JobCapacity | None = None
    """What the planner expects of the whole job; None if it does not know."""
    is_chosen: bool = False
    """Whether the planner was free to choose."""

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
    def estimated_seconds(self) -> float:
        """Expected seconds from the creation of the SageMaker job to its end; 0 if unknown.

        That of a part is in proportion to the bytes of the largest one.
        """
        if self.expected is None:
            return 0.0
        seconds, largest = self.expected.seconds.value, max(self.expected.shard_bytes, default=0)
        if self.part is None or not largest:
            return round(seconds, 1)
        return round(seconds * min(1.0, self.input_bytes / largest), 1)

    @property
    def order(self) -> tuple[float, float, str]:
        """Key by which jobs and parts are ordered: their expected start if the planner was free to choose, then size.

        In the order of their starts, none takes a place of the Map while it waits for instances of its type.
        """
        if self.expected is None or not self.is_chosen:
            return 0.0, -self.input_bytes * self.commits_per_object, self.job_id
        starts = self.expected.starts
        start = min(starts) if self.part is None else starts[min(self.part.number, len(starts)) - 1]
        return start, -self.estimated_seconds, self.job_id

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
            estimated_seconds=self.estimated_seconds,
        )

    def pointer(self, execution_id: str) -> JobPointer:
        return JobPointer(execution_id, self.job_id, attempt=1)


Capacity = Callable[[Sequence[JobGroup]], Sequence[PlannedChunk]]
"""Divides groups into jobs, and chooses the compute of each."""


@dataclass(frozen=True)
class JobForming:
    """All that jobs are formed of, except what earlier executions have scored."""

    request: ExecutionRequest
    assignments: Sequence[Assignment]
    snapshots: Mapping[str, Snapshot]
    defaults: PlanDefaults
    fleets: Sequence[ChosenFleet]
    capacity: Capacity
    is_planned: bool

    def groups(self, kept: Mapping[str, str] | None = None, left: Mapping[str, float] | None = None) -> list[JobGroup]:
        """Return the groups of models that may share jobs: see `form_groups`."""
        return form_groups(
            self.request,
            self.assignments,
            self.snapshots,
            self.defaults.compute,
            fleets=self.fleets,
            groups=kept,
            left=left,
            models_per_job=self.defaults.models_per_job,
            is_planned=self.is_planned,
        )

    def jobs(self, kept: Mapping[str, str] | None = None, left: Mapping[str, float] | None = None) -> list[PlannedJob]:
        """Return the jobs that the planner chooses."""
        return form_jobs(self.groups(kept, left), self.capacity)


def form_jobs(groups: Sequence[JobGroup], capacity: Capacity = without_plan) -> list[PlannedJob]:
    """Return the jobs in the order in which they start, so that the longest does not start last. A fleet is one job.

    Without `capacity`, jobs have as many models as may share one.
    """
    divisions: dict[tuple[str, int, bool], Division] = {}
    return in_order([_divided(_job(chunk), divisions) for chunk in capacity(groups)])


def _job(chunk: PlannedChunk) -> PlannedJob:
    group = chunk.group
    return PlannedJob(
        job_id=_job_id(chunk.models) if group.fleet is None else fleet_job_id(group.fleet.spec.fleet_id),
        snapshot=group.snapshot,
        models=chunk.models,
        compute=chunk.compute,
        max_attempts=group.max_attempts,
        output_layout=group.output_layout,
        joined_nulls=group.joined_nulls,
        fleet=group.fleet,
        expected=chunk.expected,
        is_chosen=chunk.is_chosen,
    )


def in_order(jobs: Iterable[PlannedJob]) -> list[PlannedJob]:
    return sorted(jobs, key=lambda job: job.order)


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


def instance_needs(jobs: Iterable[PlannedJob]) -> list[InstanceNeed]:
    """Return the instances that each job needs at once, parts of split jobs one by one."""
    return [
        InstanceNeed(
            item.job_id,
            pool_kind(ExecutionKind.SCORING, item.compute),
            item.compute.instance_type or "",
            # An attempt has at most one instance per object.
            max(1, min(item.compute.instance_count or 1, len(item.objects))),
        )
        for job in jobs
        for item in job.items
    ]


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


def _job_id(models: Sequence[ModelSpec]) -> str:
    first = models[0].model_id
    return first if len(models) == 1 else f"{first}.and-{len(models) - 1}-more"
