"""Read the events of the steps that handle one job, and record the job's success idempotently."""

from collections.abc import Callable, Mapping
from typing import Any

from contract.codec import SCHEMA_VERSION_FIELD, from_json
from contract.pool.pool_records import JobKind, pool_kind
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import AttemptInput, JobPointer, JobResult
from lambdas.admission.release import release_instances
from lambdas.errors import JobClosedError, StaleEventError
from lambdas.stage.deployment import Deployment
from lambdas.stage.tables.job_table import JobState, Release
from lambdas.stage.tables.pool_table import PoolName

_QUICK_COMMITS = 1_000
"""Number of commits that are verified in about a second: one page of a listing per kind of output."""
_POINTER_FIELDS = (SCHEMA_VERSION_FIELD, "execution_id", "job_id", "attempt")


def read_job_pointer(event: dict[str, Any]) -> JobPointer:
    """Return the pointer in the state of a Map child.

    The state may have more fields, such as the last failure decision or the attempt's plan.

    Raises:
        InvalidInputError: when a field of the pointer is missing or has the wrong type.
    """
    return from_json(JobPointer, {name: event[name] for name in _POINTER_FIELDS if name in event})


def read_attempt_input(event: dict[str, Any]) -> AttemptInput:
    """Return the input of RecordAttempt in the state of a Map child: see `read_job_pointer`.

    Raises:
        InvalidInputError: when a field is missing or has the wrong type.
    """
    names = (*_POINTER_FIELDS, "entered_at", "child_arn")
    return from_json(AttemptInput, {name: event[name] for name in names if name in event})


def complete_job(
    pointer: JobPointer,
    deployment: Deployment,
    complete: Callable[[JobState, Release | None], JobRecord],
    description: Any = None,
) -> JobResult:
    """Call `complete` if the job runs in this attempt, and return the job's result. Idempotent.

    `complete` verifies the job and returns its succeeded record. If it gets a release, it makes it with the
    attempt's end. `description` is that of the attempt's SageMaker job, if it is known.

    Raises:
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """
    name, pool = _described_instances(description)
    keys = deployment.pools.held_keys(name, pool) if name else ()
    state = deployment.table.job_state(pointer.execution_id, pointer.job_id, pointer.attempt, *keys)
    job = state.job
    if (job.status, job.attempt) == (JobStatus.RUNNING, pointer.attempt):
        release = None
        if name and name == job.sagemaker_job_name and is_verified_quickly(job):
            release = _release_at_end(state, pool, deployment)
        # Others need not wait for the instances until a large job is verified.
        is_released = release is not None or _release(state, deployment)
        job = complete(state, release)
        if not is_released:
            _release(state, deployment)
    if job.status is JobStatus.SUCCEEDED:
        return JobResult(job.job_id)
    if job.status is JobStatus.FAILED:
        raise JobClosedError(job.execution_id, job.job_id, job.status)
    raise StaleEventError(job.job_id, pointer.attempt, job.status, job.attempt)


def is_verified_quickly(job: JobRecord) -> bool:
    """Return whether a job has so few outputs that its instances can be released after they are verified."""
    # The record of a fleet's job names no models, and its objects have one commit each.
    commits = job.object_count * max(1, len(job.model_ids))
    return not job.scores_on_spot and commits <= _QUICK_COMMITS


def _described_instances(description: Any) -> tuple[str, PoolName]:
    """Return the name of a processing job and the pool of its instances; empty for everything else."""
    found = description
    for field in ("ProcessingResources", "ClusterConfig", "InstanceType"):
        found = found.get(field) if isinstance(found, Mapping) else None
    name = description.get("ProcessingJobName") if isinstance(description, Mapping) else None
    known = isinstance(name, str) and isinstance(found, str)
    return (str(name), (JobKind.PROCESSING, str(found))) if known else ("", (JobKind.PROCESSING, ""))


def _release_at_end(state: JobState, pool: PoolName, deployment: Deployment) -> Release | None:
    """Return the release of an attempt's instances; None if they are from another pool than described."""
    writes = deployment.pools.release_writes(state.others, pool)
    return None if writes is None else Release(writes, lambda: _release(state, deployment))


def _release(state: JobState, deployment: Deployment) -> bool:
    """Release the instances of an attempt, whose SageMaker job has ended, and return whether it holds none now."""
    if state.attempt is None:
        return True
    pool = pool_kind(state.job.kind, state.job.compute), state.attempt.instance_type
    return release_instances(state.job.sagemaker_job_name, deployment, pool)
