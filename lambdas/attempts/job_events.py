"""Read the events of the steps that handle one job, and record the job's success idempotently."""

from collections.abc import Callable
from typing import Any

from contract.codec import SCHEMA_VERSION_FIELD, from_json
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import AttemptInput, JobPointer, JobResult
from lambdas.admission.release import release_instances
from lambdas.errors import JobClosedError, StaleEventError
from lambdas.stage.deployment import Deployment

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


def complete_job(pointer: JobPointer, deployment: Deployment, complete: Callable[[JobRecord], JobRecord]) -> JobResult:
    """Call `complete` if the job runs in this attempt, and return the job's result. Idempotent.

    `complete` verifies the job and returns its succeeded record.

    Raises:
        JobClosedError: when the job has failed.
        StaleEventError: when the job is in another attempt.
    """
    job = deployment.table.job(pointer.execution_id, pointer.job_id)
    if (job.status, job.attempt) == (JobStatus.RUNNING, pointer.attempt):
        job = complete(job)
    if job.status is JobStatus.SUCCEEDED:
        release_instances(job.sagemaker_job_name, deployment)
        return JobResult(job.job_id)
    if job.status is JobStatus.FAILED:
        raise JobClosedError(job.execution_id, job.job_id, job.status)
    raise StaleEventError(job.job_id, pointer.attempt, job.status, job.attempt)
