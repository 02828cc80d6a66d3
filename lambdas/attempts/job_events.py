"""What a step that ends jobs answers, however often it is called for one."""

from collections.abc import Callable

from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer, JobResult
from lambdas.errors import JobClosedError, StaleEventError
from lambdas.stage.deployment import Deployment


def end_job(pointer: JobPointer, deployment: Deployment, end: Callable[[JobRecord], JobRecord]) -> JobResult:
    """Have `end` record the job as succeeded if it runs in this attempt; the answer about the job as it is then.

    Raises:
        JobClosedError: when the job has ended otherwise.
        StaleEventError: when the job is in another attempt.
    """
    job = deployment.table.job(pointer.execution_id, pointer.job_id)
    if (job.status, job.attempt) == (JobStatus.RUNNING, pointer.attempt):
        job = end(job)
    if job.status is JobStatus.SUCCEEDED:
        return JobResult(job.job_id)
    if job.status is JobStatus.FAILED:
        raise JobClosedError(job.execution_id, job.job_id, job.status)
    raise StaleEventError(job.job_id, pointer.attempt, job.status, job.attempt)
