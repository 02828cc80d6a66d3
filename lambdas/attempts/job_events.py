"""Read the events of the steps that handle one job, and record the job's success idempotently."""

from collections.abc import Callable
from typing import Any

from contract.codec import SCHEMA_VERSION_FIELD, from_json
from contract.pool.pool_records import pool_kind
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import AttemptInput, JobPointer, JobResult
from lambdas.admission.release import release_instances
from lambdas.errors import JobClosedError, StaleEventError
from lambdas.stage.deployment import Deployment
from lambdas.stage.tables.job_table import JobState

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


def complete_job(pointer: JobPointer, deployment: Deployment, complete: Callable[[JobState], JobRecord]) -> JobResult:
    """Call `complete` if the job runs in this attempt, and return the job's result. Idempotent.

    `complete` verifies the job and returns its succeeded record.

    Raises:
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """
    state = deployment.table.job_state(pointer.execution_id, pointer.job_id, pointer.attempt)
    job = state.job
    if (job.status, job.attempt) == (JobStatus.RUNNING, pointer.attempt):
        # Others need not wait for the instances until the job is verified.
        is_released = _release(state, deployment)
        job = complete(state)
        if not is_released:
            _release(state, deployment)
    if job.status is JobStatus.SUCCEEDED:
        return JobResult(job.job_id)
    if job.status is JobStatus.FAILED:
        raise JobClosedError(job.execution_id, job.job_id, job.status)
    raise StaleEventError(job.job_id, pointer.attempt, job.status, job.attempt)


def _release(state: JobState, deployment: Deployment) -> bool:
    """Release the instances of an attempt, whose SageMaker job has ended, and return whether it holds none now."""
    if state.attempt is None:
        return True
    pool = pool_kind(state.job.kind, state.job.compute), state.attempt.instance_type
    return release_instances(state.job.sagemaker_job_name, deployment, pool)
