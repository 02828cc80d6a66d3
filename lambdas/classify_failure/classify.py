"""Record a failed attempt and decide whether the job gets another attempt."""

from dataclasses import replace
from typing import Protocol

from contract.status import FINAL_JOB_STATUSES, FailureKind, JobStatus, SageMakerKind
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.messages import AttemptFailure, FailureDecision, JobPointer
from lambdas.admission.names import attempt_name
from lambdas.admission.release import release_instances
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.commits import count_commits
from lambdas.attempts.failure_cause import Cause, read_cause, read_description
from lambdas.attempts.keep_commits import keep_spot_commits_of_ended
from lambdas.attempts.progress import progress_mark
from lambdas.attempts.spot_time import spot_time_after
from lambdas.attempts.tolerance import counted
from lambdas.classify_failure.refusals import find_refusal, wait_for_sagemaker
from lambdas.errors import JobStillRunningError
from lambdas.failures.decisions import Decision, decide, find_rule
from lambdas.failures.failure_rule import FailureRule, Retry
from lambdas.stage.deployment import Deployment

_ENDED = frozenset({"Completed", "Failed", "Stopped"})


class Jobs(Protocol):
    """The SageMaker jobs of attempts; see `SageMakerJobs`."""

    def end(self, kind: SageMakerKind, name: str) -> str: ...


def classify_failure(
    failure: AttemptFailure, deployment: Deployment, jobs: Jobs, rules: ChecksumRules
) -> FailureDecision:
    """Record the attempt as failed, its job as waiting or failed, and return the decision.

    Ends the attempt's SageMaker job first. Idempotent: a second call returns the recorded decision. An
    attempt whose job SageMaker has refused to create for now stays open, and waits.

    Raises:
        StaleEventError: when the job is in another attempt.
        JobStillRunningError: when the SageMaker job has not ended yet.
        KeptOutputsLeftError: when the function's time ends before all outputs of spot attempts are copied.
    """
    job = deployment.table.job(failure.execution_id, failure.job_id)
    exists = _end_sagemaker_job(failure, job, deployment, jobs)
    if job.status in FINAL_JOB_STATUSES:
        _release_instances(failure, deployment.table.find_execution(failure.execution_id), deployment)
        return _as_recorded(failure, job)
    refusal = None if exists else find_refusal(failure, job, deployment)
    if refusal is not None and not refusal.given_up:
        return wait_for_sagemaker(refusal, failure, job, deployment)
    decision = _decide(failure, job, deployment, given_up=refusal.given_up if refusal is not None else "")
    ended_at = max(deployment.now(), job.started_at)
    moved = replace(
        job,
        status=JobStatus.WAITING if decision.try_again else JobStatus.FAILED,
        attempt=failure.attempt,
        ended_at="" if decision.try_again else ended_at,
        failure_kind=decision.kind,
        reason=decision.reason,
        spot_time=spot_time_after(job, read_description(failure.cause)),
    )
    if not decision.try_again:
        # Otherwise the next attempt keeps them.
        keep_spot_commits_of_ended(moved, deployment.store, rules)
        moved = replace(moved, commits=count_commits(moved, deployment.store))
    execution = deployment.table.find_execution(failure.execution_id)
    recorded = deployment.table.end_attempt(
        job, moved, ended_at=ended_at, explanation=decision.explanation, tally=counted(moved, execution)
    )
    _release_instances(failure, execution, deployment)
    if recorded.status in FINAL_JOB_STATUSES and decision.try_again:
        return _as_recorded(failure, recorded)
    return FailureDecision(
        execution_id=failure.execution_id,
        job_id=failure.job_id,
        attempt=failure.attempt + 1,
        try_again=decision.try_again,
        wait_seconds=decision.wait_seconds,
        kind=decision.kind,
        reason=moved.reason,
    )


def _end_sagemaker_job(failure: AttemptFailure, job: JobRecord, deployment: Deployment, jobs: Jobs) -> bool:
    """End a job for which the workflow no longer waits, so that no two attempts run concurrently.

    Return whether there is such a job, as far as this is known.

    Step Functions stops a job when the execution is stopped. AWS documents no such stop for a state
    that times out, and a job may exist although the answer to its creation was lost.
    """
    failed_at_the_job = failure.error.startswith(("SageMaker.", "States."))
    if not failed_at_the_job or read_cause(failure.cause).status in _ENDED:
        return True
    attempt = deployment.table.find_attempt(failure.execution_id, failure.job_id, failure.attempt)
    if attempt is not None and attempt.sagemaker_job_name:
        return bool(jobs.end(job.sagemaker_kind, attempt.sagemaker_job_name))
    return False


def _release_instances(failure: AttemptFailure, execution: ExecutionRecord | None, deployment: Deployment) -> None:
    """Release the instances of an attempt that has ended, even if it was never opened."""
    # A job that could not be stopped still uses them. The event about its end releases them.
    if execution is not None and failure.error != JobStillRunningError.__name__:
        pointer = JobPointer(failure.execution_id, failure.job_id, failure.attempt)
        release_instances(attempt_name(pointer, execution, deployment), deployment)


def _as_recorded(failure: AttemptFailure, job: JobRecord) -> FailureDecision:
    return FailureDecision(
        execution_id=failure.execution_id,
        job_id=failure.job_id,
        attempt=failure.attempt + 1,
        try_again=False,
        wait_seconds=0,
        kind=job.failure_kind or FailureKind.UNKNOWN,
        reason=job.reason or f"The job was already {job.status.value} when {failure.error} arrived.",
    )


def _decide(failure: AttemptFailure, job: JobRecord, deployment: Deployment, *, given_up: str) -> Decision:
    """Decide about a failure. `given_up` says why the job no longer waits for SageMaker to accept it, if it did."""
    cause = read_cause(failure.cause)
    rule = find_rule(failure.error, cause)
    if given_up:
        rule = replace(rule, retry=Retry.NO)
    attempts = deployment.table.attempts(failure.execution_id, failure.job_id)
    current = next((attempt for attempt in attempts if attempt.attempt == failure.attempt), None)
    return decide(
        rule,
        message="; ".join(filter(None, (_message(failure, cause, rule), given_up))),
        job=job,
        attempt=failure.attempt,
        earlier=[attempt for attempt in attempts if attempt.attempt < failure.attempt],
        made_progress=rule.retry is Retry.WITH_PROGRESS and _made_progress(job, current, deployment),
        sagemaker_job_name=current.sagemaker_job_name if current else "",
    )


def _message(failure: AttemptFailure, cause: Cause, rule: FailureRule) -> str:
    if cause.exit_message:
        return cause.exit_message
    if cause.status:
        return f"{rule.name}: {cause.message}"
    return f"{failure.error}: {cause.message or rule.name}"


def _made_progress(job: JobRecord, attempt: AttemptRecord | None, deployment: Deployment) -> bool:
    """Return whether the attempt committed an object or wrote a checkpoint."""
    return attempt is not None and progress_mark(job, deployment.store) != attempt.progress_mark
