"""Record a failed attempt and decide whether the job gets another one."""

from dataclasses import replace
from datetime import datetime

from contract.status import FINAL_JOB_STATUSES, ExecutionKind, FailureKind, JobStatus
from contract.table.records import AttemptRecord, JobRecord
from contract.workflow.messages import AttemptFailure, FailureDecision
from lambdas.attempts.failure_cause import Cause, read_cause
from lambdas.classify_failure.decision_table import Retry, FailureRule
from lambdas.classify_failure.decisions import Decision, decide, find_rule
from lambdas.stage.deployment import Deployment


def classify_failure(failure: AttemptFailure, deployment: Deployment) -> FailureDecision:
    """Record the attempt as failed and its job as waiting or failed; called again it gives the same answer.

    Raises:
        StaleEventError: when the job is in another attempt.
    """
    job = deployment.table.job(failure.execution_id, failure.job_id)
    if job.status in FINAL_JOB_STATUSES:
        return _as_recorded(failure, job)
    decision = _decide(failure, job, deployment)
    ended_at = deployment.now()
    moved = replace(
        job,
        status=JobStatus.WAITING if decision.try_again else JobStatus.FAILED,
        attempt=failure.attempt,
        ended_at="" if decision.try_again else ended_at,
        failure_kind=decision.kind,
        reason=decision.reason,
    )
    recorded = deployment.table.end_attempt(job, moved, ended_at=ended_at)
    if recorded.status in FINAL_JOB_STATUSES and decision.try_again:
        return _as_recorded(failure, recorded)
    return FailureDecision(
        execution_id=failure.execution_id,
        job_id=failure.job_id,
        attempt=failure.attempt + 1,
        try_again=decision.try_again,
        wait_seconds=decision.wait_seconds,
        kind=decision.kind,
        reason=decision.reason,
    )


def _as_recorded(failure: AttemptFailure, job: JobRecord) -> FailureDecision:
    return FailureDecision(
        execution_id=failure.execution_id,
        job_id=failure.job_id,
        attempt=failure.attempt + 1,
        try_again=False,
        wait_seconds=0,
        kind=job.failure_kind or FailureKind.UNKNOWN,
        reason=job.reason or f"The job is {job.status.value} already; {failure.error} came late.",
    )


def _decide(failure: AttemptFailure, job: JobRecord, deployment: Deployment) -> Decision:
    cause = read_cause(failure.cause)
    row = find_rule(failure.error, cause)
    attempts = deployment.table.attempts(failure.execution_id, failure.job_id)
    current = next((attempt for attempt in attempts if attempt.attempt == failure.attempt), None)
    return decide(
        row,
        message=_message(failure, cause, row),
        attempt=failure.attempt,
        max_attempts=job.max_attempts,
        earlier_kinds=tuple(attempt.failure_kind for attempt in attempts if attempt.attempt < failure.attempt),
        committed=row.again is Retry.WITH_PROGRESS and _got_on(job, current, deployment),
        job_key=f"{failure.execution_id}\n{failure.job_id}",
        sagemaker_job_name=current.sagemaker_job_name if current else "",
        job_kind=job.kind,
    )


def _message(failure: AttemptFailure, cause: Cause, row: FailureRule) -> str:
    if cause.exit_message:
        return cause.exit_message
    if cause.status:
        return f"{row.name}: {cause.message}"
    return f"{failure.error}: {cause.message or row.name}"


def _got_on(job: JobRecord, attempt: AttemptRecord | None, deployment: Deployment) -> bool:
    """Whether the attempt committed anything, or wrote a checkpoint: a listing tells, nothing need be read."""
    if attempt is None:
        return False
    # S3 gives whole seconds.
    opened = int(datetime.fromisoformat(attempt.started_at).timestamp())
    if job.kind is ExecutionKind.TRAINING:
        return deployment.store.checkpointed_since(job.execution_id, job.job_id, opened)
    markers = deployment.store.ledger_objects(attempt.execution_id, attempt.job_id)
    return any(marker.last_modified >= opened for marker in markers)
