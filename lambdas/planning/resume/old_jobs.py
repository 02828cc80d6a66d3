"""Read the specs and snapshots of the jobs that a resumed execution may keep commits of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from botocore.exceptions import ClientError

from contract import layout
from contract.catalog.model_spec import ModelSpec
from contract.job.scored_before import changed_fields, digests_of
from contract.job.scoring_spec import JobSource, JobSpec, PinnedObject, SnapshotRef
from contract.problems import InvalidInputError, Problem
from contract.status import JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.records import JobRecord
from lambdas.planning.resume.lineage import OldExecution
from lambdas.stage.buckets.expired import is_gone
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.parallel import in_parallel


@dataclass(frozen=True)
class OldJob:
    """A job of an old execution, or a part of one."""

    source: JobSource
    dataset: str
    snapshot: SnapshotRef
    digests: Mapping[str, str]
    """The `output_digests` of its committing models."""
    versions: Mapping[str, str]
    """Versions of its committing models, by id."""
    changes: Mapping[str, Sequence[str]]
    """Fields in which the chosen models score differently now, by id."""
    job_id: str
    """Id of the whole job if this is a part, else of the job itself."""
    output_layout: layout.OutputLayout
    joined_nulls: bool
    image_uri: str = ""
    """URI of the image that scored it."""
    is_whole: bool = False
    """Whether it succeeded without rows in quarantine, so that every object has a commit that may count."""

    def outputs_prefix(self, kind: layout.OutputKind) -> str:
        """Return the prefix of its outputs of a kind."""
        source = self.source
        return layout.job_outputs_prefix(kind, self.dataset, source.execution_id, source.job_id, self.output_layout)

    @property
    def is_fleet(self) -> bool:
        return self.output_layout == "fleet"

    @property
    def requested_layout(self) -> layout.RequestedLayout:
        return "joined" if self.output_layout == "joined" else "per_model"

    @cached_property
    def ledger_prefix(self) -> str:
        return layout.ledger_prefix(self.source.execution_id, self.source.job_id)


def read_old_jobs(lineage: Sequence[OldExecution], chosen: Mapping[str, ModelSpec], store: ObjectStore) -> list[OldJob]:
    """Return the jobs that scored the chosen models or fleets, the newest execution's first.

    `chosen` are the specs with which they are scored now, by id.
    Jobs are left out whose spec has expired or cannot be read by this release.
    """
    relevant = [job for old in lineage for job in old.jobs if chosen.keys() & set(job.model_ids)]

    def read(job: JobRecord) -> OldJob | None:
        spec = find_spec(job, store)
        return None if spec is None else _old_job(job, spec, chosen)

    # The spec of a fleet may have 100 MB, and takes several times as much in memory: one at a time.
    small = iter(list(in_parallel(read, [job for job in relevant if not job.fleet])))
    found = (read(job) if job.fleet else next(small) for job in relevant)
    return [job for job in found if job is not None]


def find_spec(job: JobRecord, store: ObjectStore) -> JobSpec | None:
    """Return the spec of a job; None if it has expired, or is of a release that this one cannot read."""
    try:
        return store.job_spec(job.execution_id, job.job_id)
    except InvalidInputError:
        return None
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def _old_job(job: JobRecord, spec: JobSpec, chosen: Mapping[str, ModelSpec]) -> OldJob:
    models = spec.committing_models
    return OldJob(
        source=JobSource(job.execution_id, job.job_id),
        dataset=spec.dataset,
        snapshot=spec.snapshot,
        digests=digests_of(spec),
        versions={model.model_id: model.version for model in models},
        changes={
            model.model_id: changed_fields(model, chosen[model.model_id])
            for model in models
            if model.model_id in chosen
        },
        job_id=job.part.job_id if job.part else job.job_id,
        output_layout=spec.output_layout,
        joined_nulls=spec.joined_nulls,
        image_uri=job.image_uri,
        is_whole=job.status is JobStatus.SUCCEEDED and not job.rows_quarantined,
    )


def objects_of_datasets(
    newest: OldExecution, old_jobs: Sequence[OldJob], datasets: Iterable[str], store: ObjectStore
) -> tuple[dict[str, dict[str, PinnedObject]], list[Problem]]:
    """Return the objects that the newest execution pinned of each dataset, by key.

    A dataset is a problem unless all of its objects are found: a part's snapshot may have expired.
    """
    counts = {job.dataset: job.object_count for job in map(whole_job, group_parts(newest.jobs).values())}
    # All jobs share one snapshot of the dataset, or have one per part.
    refs: dict[str, dict[SnapshotRef, None]] = {dataset: {} for dataset in datasets}
    for job in old_jobs:
        if job.source.execution_id == newest.execution_id and job.dataset in refs:
            refs[job.dataset][job.snapshot] = None
    wanted = [(dataset, ref) for dataset, parts in refs.items() for ref in parts]
    found: dict[str, dict[str, PinnedObject]] = {dataset: {} for dataset in refs}
    for (dataset, _), objects in zip(
        wanted, in_parallel(lambda part: snapshot_objects(part[1], store), wanted), strict=True
    ):
        found[dataset] |= {item.key: item for item in objects}
    problems: list[Problem] = []
    for dataset, pinned in found.items():
        if len(pinned) != counts[dataset]:
            value = (
                f"{newest.execution_id}, whose files name {len(pinned):,} of {counts[dataset]:,} objects of {dataset!r}"
            )
            expected = "an execution whose specs and snapshots have not expired"
            problems.append(Problem("resume", value, expected, "Start a new execution."))
    return found, problems


def snapshot_objects(ref: SnapshotRef, store: ObjectStore) -> Sequence[PinnedObject]:
    """Return the objects of a snapshot; none if it has expired or was replaced."""
    try:
        return store.snapshot(ref)
    except InvalidInputError:
        return ()
    except ClientError as error:
        if is_gone(error):
            return ()
        raise
