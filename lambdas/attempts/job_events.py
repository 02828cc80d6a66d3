"""Read the events of steps that handle one job, and answer a step that ends a job idempotently."""

from collections.abc import Callable
from typing import Any

from contract.codec import SCHEMA_VERSION_FIELD, from_json
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer, JobResult
from lambdas.errors import JobClosedError, StaleEventError
from lambdas.stage.deployment import Deployment

_POINTER_FIELDS = (SCHEMA_VERSION_FIELD, "execution_id", "job_id", "attempt")


def read_job_pointer(event: dict[str, Any]) -> JobPointer:
    """Read the pointer from the state of a Map child.

    The state may hold more by then, such as the last failure decision or the attempt's plan.

    Raises:
        InvalidInputError: when a field of the pointer is missing or has the wrong type.
    """
    return from_json(JobPointer, {name: event[name] for name in _POINTER_FIELDS if name in event})


def complete_job(pointer: JobPointer, deployment: Deployment, complete: Callable[[JobRecord], JobRecord]) -> JobResult:
    """Call `complete` to record the job as succeeded if it runs in this attempt. Idempotent.

    Raises:
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """
    job = deployment.table.job(pointer.execution_id, pointer.job_id)
    if (job.status, job.attempt) == (JobStatus.RUNNING, pointer.attempt):
        job = complete(job)
    if job.status is JobStatus.SUCCEEDED:
        return JobResult(job.job_id)
    if job.status is JobStatus.FAILED:
        raise JobClosedError(job.execution_id, job.job_id, job.status)
    raise StaleEventError(job.job_id, pointer.attempt, job.status, job.attempt)
