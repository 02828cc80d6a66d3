"""Close all open records of an execution, and write its summary."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from contract import layout
from contract.names import RelativePath
from contract.planner.figures import ActualFigures
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, ExecutionStatus, JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.latest_predictions import original_execution
from contract.table.records import ExecutionRecord, JobRecord, execution_kind
from contract.table.request_text import request_text
from contract.table.tolerance import add_tallies, passed_level, tally_of
from contract.workflow.messages import REQUEST_FIELD, ExecutionOutcome, SummaryInput
from lambdas.attempts.commits import count_commits
from lambdas.closing.accounting import find_violations
from lambdas.closing.figures import actual_figures
from lambdas.closing.latest import latest_predictions
from lambdas.closing.learn import learn
from lambdas.closing.outcome import (
    caught_failure,
    describe_failure,
    describe_oversize,
    execution_reason,
    execution_status,
    open_job_reason,
    started_together,
)
from lambdas.closing.summary import summarize
from lambdas.errors import ClosingUnfinishedError, ExecutionNameUsedError
from lambdas.shown_text import shorten
from lambdas.stage.deployment import Deployment
from lambdas.stage.messaging.task_tokens import TaskTokens
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.parallel import in_parallel

_MAX_CAUSE_CHARACTERS = 8_000
"""Maximum length of the returned cause, in characters. A Fail state's Cause has at most 32 KB.

The record has the whole reason.
"""
_SECONDS_AFTERWARDS = 90.0
"""Time to leave, after the last job is closed, for the accounting and the summary."""
_SECONDS_PER_DATASET = 0.012
"""More time to leave for each dataset, whose outputs the accounting lists."""
_SECONDS_WITHOUT_COUNTING = 300.0
"""Time to leave when commits of unfinished jobs are counted: to close records comes first."""
_MAX_COUNTED = 20_000
"""Largest number of objects of an unfinished job whose commits are counted. 32 jobs are in memory."""


def close_execution(
    event: SummaryInput,
    deployment: Deployment,
    tokens: TaskTokens,
    seconds_left: Callable[[], float],
    *,
    before_counting: Callable[[JobRecord], None] = lambda job: None,
) -> ExecutionOutcome:
    """Close the execution, planned, refused or aborted, and return its outcome. Idempotent.

    Pointers to the latest predictions move to those of the jobs that succeeded. The outcome is
    reported to a waiting task last, when everything is written. `seconds_left` returns the time until
    the function is stopped. `before_counting` is called with each unfinished job whose commits are
    counted.

    Raises:
        ClosingUnfinishedError: when there was no time to close all jobs. The execution's record is still
            RUNNING, and another call continues.
    """
    if problems := RelativePath().problems("execution name", event.execution_id):
        # The plan has refused the name too. A summary would be outside of the executions' folder.
        outcome = ExecutionOutcome(ExecutionStatus.FAILED, "", str(problems[0]))
        tokens.report(event.execution_id, _unplanned(event).request_json, outcome)
        return outcome
    table = deployment.table
    record = table.open_execution(_unplanned(event))
    if record.execution_arn != event.execution_arn or not started_together(record.started_at, event.started_at):
        used = ExecutionNameUsedError(event.execution_id, record.started_at, event.started_at)
        outcome = ExecutionOutcome(ExecutionStatus.FAILED, "", str(used))
        tokens.report(event.execution_id, _unplanned(event).request_json, outcome)
        return outcome
    closed = _close_jobs(record, event, deployment, seconds_left, before_counting)
    jobs = [whole_job(parts) for parts in group_parts(closed).values()]
    is_first = False
    if record.status is ExecutionStatus.RUNNING:
        is_first = table.close_execution(_closed(record, event, closed, deployment))
        record = table.execution(event.execution_id)
    uri = deployment.store.write_summary(summarize(record, closed, deployment.settings.results_bucket))
    if record.summary_uri != uri:
        table.record_summary(event.execution_id, uri)
    _move_pointers(record, closed, deployment)
    learn(record, closed, deployment, seconds_left)
    if is_first:
        _publish(record, jobs, sum(item.attempt for item in closed), deployment)
    outcome = ExecutionOutcome(record.status, uri, shorten(record.reason, _MAX_CAUSE_CHARACTERS))
    is_told = tokens.report(event.execution_id, record.request_json, outcome)
    # Otherwise the schedule of Reconcile closes the execution again, for a task may wait for years.
    if is_told and record.closing_pending:
        table.record_closing_done(event.execution_id)
    return outcome


def request_of(event: SummaryInput) -> Any:
    """Return the input of an execution, which may be any JSON."""
    return event.state.get(REQUEST_FIELD) if isinstance(event.state, dict) else event.state


def _unplanned(event: SummaryInput) -> ExecutionRecord:
    """Return the record of an execution that has none yet."""
    return ExecutionRecord(
        execution_id=event.execution_id,
        execution_arn=event.execution_arn,
        status=ExecutionStatus.RUNNING,
        started_at=event.started_at,
        request_json=request_text(request_of(event)),
        kind=execution_kind(event.execution_arn),
    )


def _close_jobs(
    record: ExecutionRecord,
    event: SummaryInput,
    deployment: Deployment,
    seconds_left: Callable[[], float],
    before_counting: Callable[[JobRecord], None],
) -> list[JobRecord]:
    """Close the open jobs and parts of jobs, and return the records of all."""
    error, cause = caught_failure(event.state)
    ended_at = deployment.now()
    jobs = deployment.table.jobs(event.execution_id)
    reserved = _SECONDS_AFTERWARDS + len({job.dataset for job in jobs}) * _SECONDS_PER_DATASET

    def close(job: JobRecord) -> JobRecord:
        if job.status in FINAL_JOB_STATUSES or seconds_left() < reserved:
            return job
        if seconds_left() > _SECONDS_WITHOUT_COUNTING and job.objects_pinned <= _MAX_COUNTED:
            before_counting(job)
            job = replace(job, commits=count_commits(job, deployment.store))
        kind, reason = open_job_reason(record, job, error, cause)
        return deployment.table.close_job(job, ended_at=ended_at, kind=kind, reason=reason)

    closed = list(in_parallel(close, jobs))
    if still_open := sum(job.status not in FINAL_JOB_STATUSES for job in closed):
        raise ClosingUnfinishedError(event.execution_id, still_open, len(closed))
    return closed


def _closed(
    record: ExecutionRecord, event: SummaryInput, closed: list[JobRecord], deployment: Deployment
) -> ExecutionRecord:
    error, cause = caught_failure(event.state)
    planned = record.plan.job_count if record.plan else 0
    # An execution may end while its plan writes jobs.
    violations = find_violations(planned, closed, deployment.store) if record.plan else ()
    passed = record.passed_level
    if record.plan and not passed:
        passed = passed_level(record.plan, add_tallies(map(tally_of, closed)))
    jobs = [whole_job(parts) for parts in group_parts(closed).values()]
    status = execution_status(jobs, planned, error, record.training_failure, [*violations, *filter(None, [passed])])
    accounted = replace(record, violations=violations, passed_level=passed, actual=_actual(record, closed, deployment))
    failure = describe_failure(error, cause)
    if record.plan is None:
        failure = describe_oversize(failure, request_of(event))
    return replace(
        accounted,
        status=status,
        ended_at=max(deployment.now(), record.started_at),
        reason=execution_reason(accounted, status, jobs, failure),
        summary_uri=layout.s3_uri(deployment.settings.results_bucket, layout.summary_key(event.execution_id)),
        jobs_succeeded=sum(job.status is JobStatus.SUCCEEDED for job in jobs),
        jobs_failed=sum(job.status is JobStatus.FAILED for job in jobs),
        closing_pending=True,
    )


def _actual(record: ExecutionRecord, closed: list[JobRecord], deployment: Deployment) -> ActualFigures | None:
    if record.estimate is None:
        return None
    return actual_figures(record.estimate, closed, deployment.table.all_attempts(record.execution_id))


def _move_pointers(record: ExecutionRecord, jobs: list[JobRecord], deployment: Deployment) -> None:
    """Point to the predictions of the jobs that succeeded, where they are the latest complete ones."""
    original = original_execution(record, deployment.table.find_execution)
    found = latest_predictions(
        original,
        jobs,
        deployment.settings.results_bucket,
        # A resumed execution has the objects of the original, which is older than its own plan.
        planned_at=deployment.table.planned_at(original.execution_id) if original else "",
        expiry_days=deployment.settings.predictions_expiry_days,
        moved_datasets=record.moved_datasets,
    )
    moved = deployment.latest.move(found)
    if found:
        logger.info("latest predictions are recorded", models=len(found), moved=moved)


def _publish(record: ExecutionRecord, jobs: list[JobRecord], attempts: int, deployment: Deployment) -> None:
    counts = {
        "JobsSucceeded": sum(job.status is JobStatus.SUCCEEDED for job in jobs),
        "JobsFailed": sum(job.status is JobStatus.FAILED for job in jobs),
        "RowsScored": sum(job.rows_scored for job in jobs),
        "RowsQuarantined": sum(job.rows_quarantined for job in jobs),
        "RowsSkipped": sum(job.rows_skipped for job in jobs),
        "Attempts": attempts,
    }
    if record.violations:
        counts["AccountingViolations"] = len(record.violations)
    if record.kind is ExecutionKind.TRAINING:
        counts = {f"Training{name}": count for name, count in counts.items() if not name.startswith("Rows")}
    publish_counts(deployment.settings.stage, counts)
