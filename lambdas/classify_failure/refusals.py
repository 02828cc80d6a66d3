"""Let a job wait that SageMaker has refused to create for now: others use the quota, or the API's rate.

No job exists under the attempt's name, so the attempt stays open and asks again later.
"""

from dataclasses import dataclass

from contract.status import AttemptStatus, FailureKind, JobStatus
from contract.table.records import AttemptRecord, JobRecord
from contract.workflow.messages import AttemptFailure, FailureDecision
from lambdas.admission.admit import Clock, deadline_passed, instances_text, step_clock
from lambdas.admission.decisions import Waited, wait_seconds, why_given_up
from lambdas.attempts.failure_cause import read_cause
from lambdas.failures.decisions import find_rule
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import publish_counts


@dataclass(frozen=True)
class Refusal:
    """SageMaker's refusal to create the job of an open attempt."""

    attempt: AttemptRecord
    kind: FailureKind
    clock: Clock
    wait: int
    """Seconds until the attempt should ask again."""
    given_up: str
    """Why the job waits no longer; empty if it does."""


def find_refusal(failure: AttemptFailure, job: JobRecord, deployment: Deployment) -> Refusal | None:
    """Return the refusal that a failure is; None if it is another failure."""
    cause = read_cause(failure.cause)
    rule = find_rule(failure.error, cause)
    if not rule.waits or cause.status or not failure.error.startswith("SageMaker."):
        return None
    attempt = deployment.table.find_attempt(failure.execution_id, failure.job_id, failure.attempt)
    execution = deployment.table.find_execution(failure.execution_id)
    is_open = attempt is not None and attempt.status is AttemptStatus.RUNNING
    is_current = (job.status, job.attempt) == (JobStatus.RUNNING, failure.attempt)
    if attempt is None or execution is None or not is_open or not is_current:
        return None
    clock = step_clock(failure.entered_at, deployment)
    waited = clock.seconds_since(job.waiting_since)
    wait = wait_seconds(waited, attempt.sagemaker_job_name, refused=True)
    given_up = why_given_up(
        Waited(waited, job.waited_seconds + wait),
        deployment.settings.capacity_wait_seconds,
        deadline_passed=deadline_passed(execution, clock),
    )
    return Refusal(attempt, rule.kind, clock, wait, given_up)


def wait_for_sagemaker(
    refusal: Refusal, failure: AttemptFailure, job: JobRecord, deployment: Deployment
) -> FailureDecision:
    """Note that the job waits, and return the decision to open the same attempt again."""
    if not job.waiting_since:
        publish_counts(deployment.settings.stage, {"JobsWaitingForCapacity": 1})
    waiting_for = _waiting_for(refusal)
    deployment.table.record_wait(
        job,
        since=job.waiting_since or refusal.clock.text,
        waiting_for=waiting_for,
        instances=refusal.attempt.instance_count,
        # RecordAttempt ends the wait in the record before the next refusal. Otherwise this call is a repeated one.
        waited_seconds=job.waited_seconds + (0 if job.waiting_for else refusal.wait),
    )
    return FailureDecision(
        execution_id=failure.execution_id,
        job_id=failure.job_id,
        attempt=failure.attempt,
        try_again=True,
        wait_seconds=refusal.wait,
        kind=refusal.kind,
        reason=f"The job waits for {waiting_for}.",
    )


def _waiting_for(refusal: Refusal) -> str:
    """Return what the job waits for, as its record says it. It does not change from one round to the next."""
    if refusal.kind is not FailureKind.CAPACITY:
        return "a moment when SageMaker takes its request: the account makes too many requests"
    instances = instances_text(refusal.attempt.instance_count, refusal.attempt.instance_type)
    return f"{instances}: SageMaker has none left in the account's quota"
