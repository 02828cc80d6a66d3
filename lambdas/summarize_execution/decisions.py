"""Decide how an execution ended, from its jobs' records. Pure functions, no I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contract import layout
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import FAILURE_FIELD
from contract.workflow.scoring_request import hide_task_token
from contract.workflow.summary import ExecutionSummary, JobSummary, PartSummary
from lambdas.attempts.failure_cause import read_cause
from lambdas.shown_text import shorten
from lambdas.summarize_execution.summary_input import ABORT_ERRORS

_STOPPED = "The execution was stopped by hand"
_ABORT_TEXTS = {
    ABORT_ERRORS["ABORTED"]: _STOPPED,
    ABORT_ERRORS["TIMED_OUT"]: "The execution reached its time limit",
    ABORT_ERRORS["FAILED"]: "The execution failed outside of its steps",
}
_THRESHOLD_ERROR = "States.ExceedToleratedFailureThreshold"
_LISTED_JOBS = 5
_MAX_JOB_REASON_CHARACTERS = 700
"""Maximum length of a job's reason, in characters: enough for the remedy, and what the console
shows.
"""
_MAX_FAILURE_CHARACTERS = 1_500


def started_together(recorded: str, reported: str) -> bool:
    """Return whether two start times belong to one execution.

    Step Functions and EventBridge may round differently.
    """
    difference = datetime.fromisoformat(recorded) - datetime.fromisoformat(reported)
    return abs(difference.total_seconds()) <= 1


def caught_failure(state: Any) -> tuple[str, str]:
    """Return Error and Cause of the failure in the state; both are empty when the Map ended
    normally.
    """
    failure = state.get(FAILURE_FIELD) if isinstance(state, dict) else None
    if not isinstance(failure, dict):
        return "", ""
    return str(failure.get("Error", "")), str(failure.get("Cause", ""))


def describe_failure(error: str, cause: str) -> str:
    """Return one line about a failure; empty when there was none."""
    message = " ".join(read_cause(cause).message.split())
    text = _ABORT_TEXTS.get(error, error)
    return shorten(": ".join(part for part in (text, message) if part), _MAX_FAILURE_CHARACTERS)


def open_job_reason(error: str, cause: str) -> tuple[FailureKind, str]:
    """Return failure kind and reason for jobs that were still open when the execution ended."""
    if error == _THRESHOLD_ERROR:
        reason = "The execution ended early because more jobs had failed than it tolerates"
        remedy = "Fix the failed jobs or raise tolerated_failure_percentage, then start a new execution."
        return FailureKind.STOPPED, f"{reason}. {remedy}"
    if error == ABORT_ERRORS["ABORTED"]:
        reason = f"{_STOPPED} before this job ended"
        detail = f" ({describe_failure('', cause)})" if cause else ""
        return FailureKind.STOPPED, f"{reason}{detail}. Start a new execution for what is missing."
    if error:
        reason = f"The execution ended before this job did: {describe_failure(error, cause)}"
        return FailureKind.UNKNOWN, shorten(reason, 800) + ". Fix the cause, then start a new execution."
    reason = "The job's child execution ended without recording a result"
    return FailureKind.UNKNOWN, f"{reason}. Read its history in Step Functions, then start a new execution."


def execution_status(
    jobs: Sequence[JobRecord], planned: int, error: str = "", training_failure: str = ""
) -> ExecutionStatus:
    """Return SUCCEEDED only if each planned job succeeded. `planned` is 0 when there is no plan.

    An aborted execution did not succeed, even if all its jobs did, because Step Functions reports
    it as aborted. Nor did one whose training failed, although it scored with the current versions.
    """
    succeeded = sum(job.status is JobStatus.SUCCEEDED for job in jobs)
    if succeeded == 0:
        return ExecutionStatus.FAILED
    complete = succeeded == len(jobs) == planned and error not in ABORT_ERRORS.values()
    return ExecutionStatus.SUCCEEDED if complete and not training_failure else ExecutionStatus.PARTLY_FAILED


def execution_reason(record: ExecutionRecord, status: ExecutionStatus, jobs: Sequence[JobRecord], failure: str) -> str:
    """Return why the execution did not succeed and what to do; empty when it succeeded."""
    if status is ExecutionStatus.SUCCEEDED:
        return ""
    failed = [job for job in jobs if job.status is not JobStatus.SUCCEEDED]
    lines = []
    if record.training_failure:
        lines.append(
            f"The training execution {record.training_execution_id} did not succeed, so models were scored with the "
            f"current versions: {shorten(record.training_failure, _MAX_FAILURE_CHARACTERS)}"
        )
    if jobs and not failed:
        if not record.training_failure or failure:
            lines.append("Every job succeeded, but the execution itself did not")
    elif not jobs:
        stopped = failure.startswith(_STOPPED)
        why = failure if stopped else f"The plan failed: {failure or 'it recorded neither jobs nor an error'}"
        action = "trained" if record.kind is ExecutionKind.TRAINING else "scored"
        lines.append(f"Nothing was {action}. {why}")
        lines.append("Start a new execution." if stopped else "Fix the cause, then start a new execution.")
    else:
        lines.append(f"{len(failed):,} of {len(jobs):,} jobs failed:")
        lines += [f"- {job.job_id}: {shorten(job.reason, _MAX_JOB_REASON_CHARACTERS)}" for job in failed[:_LISTED_JOBS]]
        if len(failed) > _LISTED_JOBS:
            lines.append(f"- and {len(failed) - _LISTED_JOBS:,} more")
        if failure:
            lines.append(f"The workflow reports: {failure}")
    lines.append(f"See `fleetscore status {record.execution_id}`.")
    return "\n".join(lines)


def summarize(record: ExecutionRecord, records: Sequence[JobRecord], results_bucket: str) -> ExecutionSummary:
    """Return the summary of a closed execution, failed jobs first.

    `records` are of its jobs, and of the parts of split jobs.
    """
    parts = group_parts(records)
    jobs = [whole_job(found) for found in parts.values()]
    ordered = sorted(jobs, key=lambda job: (job.status is JobStatus.SUCCEEDED, job.job_id))
    return ExecutionSummary(
        execution_id=record.execution_id,
        execution_arn=record.execution_arn,
        label=record.label,
        status=record.status,
        request=hide_task_token(_parse_request(record.request_json)),
        started_at=record.started_at,
        ended_at=record.ended_at,
        reason=record.reason,
        jobs_total=len(jobs),
        jobs_succeeded=sum(job.status is JobStatus.SUCCEEDED for job in jobs),
        jobs_failed=sum(job.status is JobStatus.FAILED for job in jobs),
        rows_in=sum(job.rows_in for job in jobs),
        rows_scored=sum(job.rows_scored for job in jobs),
        rows_quarantined=sum(job.rows_quarantined for job in jobs),
        rows_skipped=sum(job.rows_skipped for job in jobs),
        jobs=tuple(_summarize_job(job, parts[job.job_id], results_bucket) for job in ordered),
        kind=record.kind,
        training_execution_id=record.training_execution_id,
        training_failure=record.training_failure,
    )


def _parse_request(request_json: str) -> Any:
    """Return the parsed request, or its text when some JSON parsers would refuse it."""
    try:
        return parse_json(request_json, keep_surrogates=True)
    except JsonError:
        return request_json


def _summarize_job(job: JobRecord, parts: Sequence[JobRecord], results_bucket: str) -> JobSummary:
    scored = job.status is JobStatus.SUCCEEDED and job.kind is ExecutionKind.SCORING

    def uris(kind: layout.OutputKind) -> tuple[str, ...]:
        prefixes = [
            prefix
            for part in parts
            # The rows of one part may be in quarantine, and none of another: that one has no such folder.
            if kind == "predictions" or part.rows_quarantined
            for prefix in layout.output_prefixes(
                kind,
                part.dataset,
                part.execution_id,
                part.job_id,
                model_ids=part.model_ids,
                output_layout=part.output_layout,
            )
        ]
        return tuple(layout.s3_uri(results_bucket, prefix) for prefix in prefixes)

    return JobSummary(
        job_id=job.job_id,
        status=job.status,
        dataset=job.dataset,
        model_ids=job.model_ids,
        model_versions=job.model_versions,
        attempts=job.attempt,
        sagemaker_job_name=job.sagemaker_job_name,
        object_count=job.object_count,
        input_bytes=job.input_bytes,
        rows_in=job.rows_in,
        rows_scored=job.rows_scored,
        rows_quarantined=job.rows_quarantined,
        seconds=_seconds(job.started_at, job.ended_at),
        predictions_uris=uris("predictions") if scored else (),
        failure_kind=job.failure_kind,
        reason=job.reason,
        outcome=job.outcome,
        quarantine_uris=uris("quarantine") if scored and job.rows_quarantined else (),
        duplicate_keys=job.duplicate_keys,
        null_keys=job.null_keys,
        notes=job.notes,
        sharding=job.sharding,
        parts=tuple(_summarize_part(part.part.number, part) for part in parts if part.part),
        fleet=job.fleet,
        fleet_models=job.fleet_models,
        rows_skipped=job.rows_skipped,
    )


def _summarize_part(number: int, part: JobRecord) -> PartSummary:
    return PartSummary(
        part=number,
        job_id=part.job_id,
        status=part.status,
        attempts=part.attempt,
        sagemaker_job_name=part.sagemaker_job_name,
        object_count=part.object_count,
        input_bytes=part.input_bytes,
        rows_in=part.rows_in,
        rows_scored=part.rows_scored,
        rows_quarantined=part.rows_quarantined,
        seconds=_seconds(part.started_at, part.ended_at),
        failure_kind=part.failure_kind,
        reason=part.reason,
        rows_skipped=part.rows_skipped,
    )


def _seconds(started_at: str, ended_at: str) -> float:
    if not started_at or not ended_at:
        return 0.0
    return (datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)).total_seconds()
