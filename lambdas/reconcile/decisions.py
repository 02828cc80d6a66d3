"""Decide which executions have ended and which SageMaker jobs belong to nobody. Pure functions, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from contract.job.job_tags import EXECUTION_TAG, JOB_TAG, STAGE_TAG
from contract.json_text import JsonError, parse_json
from contract.pool.pool_records import Lease
from contract.status import FINAL_EXECUTION_STATUSES, FINAL_JOB_STATUSES, JobStatus
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import FAILURE_FIELD, REQUEST_FIELD, SummaryInput
from lambdas.closing.outcome import ABORT_ERRORS
from lambdas.stage.messaging.execution_reader import EndedExecution

ENDED_STATUSES = frozenset({"Completed", "Failed", "Stopped"})
"""Statuses of SageMaker jobs that use no instances any more."""
RUNNING_STATUSES = frozenset({"RUNNING", "PENDING_REDRIVE"})
_GONE = "FAILED"
_GONE_CAUSE = "Step Functions does not know the execution any more"
_GONE_AFTER = timedelta(days=1)
"""Age at which an execution that Step Functions does not know counts as ended: reads are eventually
consistent, and a new execution may not be visible yet."""


@dataclass(frozen=True)
class JobOwner:
    """The execution and job that a SageMaker job was created for."""

    execution_id: str
    job_id: str


def read_owner(tags: Mapping[str, str], stage: str) -> JobOwner | None:
    """Return the owner that a job's tags name; None for a job that no workflow of the stage created."""
    if tags.get(STAGE_TAG) != stage or not tags.get(EXECUTION_TAG) or not tags.get(JOB_TAG):
        return None
    return JobOwner(tags[EXECUTION_TAG], tags[JOB_TAG])


def why_orphaned(name: str, execution: ExecutionRecord | None, job: JobRecord | None) -> str:
    """Return why a running SageMaker job of this name belongs to nobody; empty if it may run.

    A job whose records are gone may run: they expire, so their absence says nothing.
    """
    if execution is None:
        return ""
    if execution.status in FINAL_EXECUTION_STATUSES:
        return f"its execution is {execution.status.value}"
    if job is None or job.status is JobStatus.PENDING:
        return ""
    if job.status is not JobStatus.RUNNING:
        return f"its job {job.job_id} is {job.status.value}"
    return "" if job.sagemaker_job_name == name else f"its job {job.job_id} runs as {job.sagemaker_job_name}"


def runs_as(name: str, job: JobRecord | None, execution: ExecutionRecord | None) -> bool:
    """Return whether the records prove that a running SageMaker job of this name is the attempt of a running job."""
    return (
        execution is not None
        and execution.status not in FINAL_EXECUTION_STATUSES
        and job is not None
        and job.status is JobStatus.RUNNING
        and job.sagemaker_job_name == name
    )


def has_lease_ended(lease: Lease, status: str, execution: ExecutionRecord | None, job: JobRecord | None) -> bool:
    """Return whether nothing uses the instances of a lease any more. No clock has a say.

    `status` is that of the SageMaker job; empty if SageMaker does not know it. Then it may still be
    created, as long as its attempt is open or about to be opened, and its child execution runs.
    """
    if status:
        return status in ENDED_STATUSES
    if execution is None or execution.status in FINAL_EXECUTION_STATUSES or job is None:
        return True
    if job.status in FINAL_JOB_STATUSES or job.attempt > lease.attempt:
        return True
    return job.attempt == lease.attempt and job.status is not JobStatus.RUNNING


def end_of(record: ExecutionRecord, described: EndedExecution, now: datetime) -> SummaryInput | None:
    """Return the end of an execution whose record is RUNNING; None if it has not ended."""
    status, cause = described.status, described.text
    if status in RUNNING_STATUSES:
        return None
    if not status:
        if now - datetime.fromisoformat(record.started_at) < _GONE_AFTER:
            return None
        status, cause = _GONE, _GONE_CAUSE
    ended = SummaryInput(record.execution_id, record.execution_arn, record.started_at, described.request_json)
    return with_end(ended, status, cause)


def with_end(ended: SummaryInput, status: str, cause: str) -> SummaryInput:
    """Return the message that closes an execution, as the workflow itself would have sent it.

    The state of `ended` is the execution's input as JSON.
    """
    state: dict[str, Any] = {REQUEST_FIELD: _request(ended.state) if ended.state else None}
    if status in ABORT_ERRORS:
        state[FAILURE_FIELD] = {"Error": ABORT_ERRORS[status], "Cause": cause}
    return replace(ended, state=state)


def _request(text: str) -> Any:
    """Return the parsed input, or its text when Python cannot parse it: records must be closed in
    any case.
    """
    try:
        return parse_json(text, keep_surrogates=True)
    except JsonError:
        return text
