"""The execution's record during planning: open it, close it when the request is refused, or add the
plan."""

from collections.abc import Sequence
from dataclasses import replace

from contract import layout
from contract.names import LABEL
from contract.problems import Problem
from contract.status import FINAL_JOB_STATUSES, ExecutionStatus, FailureKind
from contract.table.records import ExecutionRecord, JobRecord, execution_kind
from contract.table.request_text import request_text
from contract.workflow.messages import ExecutionPlan, PlanInput
from contract.workflow.scoring_request import ExecutionRequest
from contract.workflow.training_request import TrainingRequest
from lambdas.continuing import as_sentence, next_step
from lambdas.errors import ExecutionClosedError, ExecutionNameUsedError, InvalidRequestError
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel
from lambdas.stage.settings import PlanDefaults


def open_execution(event: PlanInput, deployment: Deployment, *, training_execution_id: str = "") -> ExecutionRecord:
    """Open the execution's record, or return the one that an earlier call opened, with its plan if
    there is one.

    Raises:
        InvalidRequestError: when an earlier call refused the request.
        ExecutionNameUsedError: when another execution with this name has records.
        ExecutionClosedError: when the execution has ended without a plan.
    """
    record = deployment.table.open_execution(
        ExecutionRecord(
            execution_id=event.execution_id,
            execution_arn=event.execution_arn,
            status=ExecutionStatus.RUNNING,
            started_at=event.started_at,
            request_json=request_text(event.request),
            label=_label(event.request),
            kind=execution_kind(event.execution_arn),
            training_execution_id=training_execution_id,
        )
    )
    # The two workflows share the table, so a training and a scoring execution may have the same
    # name.
    if (record.started_at, record.execution_arn) != (event.started_at, event.execution_arn):
        raise ExecutionNameUsedError(event.execution_id, record.started_at, event.started_at)
    if record.plan is not None:
        return record
    if record.status is ExecutionStatus.FAILED:
        raise InvalidRequestError(record.reason)
    if record.status is not ExecutionStatus.RUNNING:
        raise ExecutionClosedError(record)
    return record


def refuse(record: ExecutionRecord, problems: Sequence[Problem], deployment: Deployment) -> InvalidRequestError:
    """Close the record with every problem, and return the error to raise."""
    refusal = InvalidRequestError.from_problems(problems)
    close_refused(record, refusal.reason, deployment)
    return refusal


def close_refused(record: ExecutionRecord, reason: str, deployment: Deployment) -> None:
    closed = replace(
        record, status=ExecutionStatus.FAILED, ended_at=deployment.now(), reason=reason, closing_pending=True
    )
    deployment.table.close_execution(closed)


def record_plan(
    record: ExecutionRecord,
    request: ExecutionRequest | TrainingRequest,
    job_count: int,
    deployment: Deployment,
    defaults: PlanDefaults,
    *,
    max_concurrency: int | None = None,
    object_count: int = 0,
) -> ExecutionPlan:
    """Add the plan to the record and return the plan that is then in the record.

    It is the last write of a plan. `max_concurrency` replaces the request's and the stage's.
    `object_count` is the number of objects to commit, each once per model.

    Raises:
        ExecutionClosedError: when the execution has ended in the meantime; its jobs are closed too.
    """

    def chosen(name: str) -> float:
        requested: float | None = getattr(request, name, None)
        stage: float = getattr(defaults, name)
        return stage if requested is None else requested

    plan = ExecutionPlan(
        execution_id=record.execution_id,
        jobs_bucket=deployment.settings.results_bucket,
        jobs_key=layout.jobs_key(record.execution_id),
        job_count=job_count,
        max_concurrency=max_concurrency or request.max_concurrency or defaults.max_concurrency,
        tolerated_failure_percentage=chosen("tolerated_failure_percentage"),
        tolerated_failed_objects_percentage=chosen("tolerated_failed_objects_percentage"),
        tolerated_quarantined_rows_percentage=chosen("tolerated_quarantined_rows_percentage"),
        object_count=object_count,
    )
    priority = record.priority if request.priority is None else request.priority
    try:
        return deployment.table.record_plan(replace(record, priority=priority), plan)
    except ExecutionClosedError:
        close_unplanned_jobs(record, deployment)
        raise


def close_unplanned_jobs(record: ExecutionRecord, deployment: Deployment) -> int:
    """Close the open jobs of an execution that ended during planning, and return their number. Idempotent.

    SummarizeExecution may have run before these jobs were written.
    """
    reason = f"The execution ended while it was being planned. {as_sentence(next_step(record))}"
    ended_at = deployment.now()

    def close(job: JobRecord) -> JobRecord:
        return deployment.table.close_job(job, ended_at=ended_at, kind=FailureKind.STOPPED, reason=reason)

    found = [job for job in deployment.table.jobs(record.execution_id) if job.status not in FINAL_JOB_STATUSES]
    return len(list(in_parallel(close, found)))


def _label(request: object) -> str:
    label = request.get("execution_label") if isinstance(request, dict) else None
    return label if isinstance(label, str) and LABEL.accepts(label) else ""
