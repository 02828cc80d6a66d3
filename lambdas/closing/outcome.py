"""Decide how an execution ended, from its jobs' records. Pure functions, no I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import FAILURE_FIELD
from contract.workflow.request_size import check_request_size
from lambdas.attempts.failure_cause import read_cause
from lambdas.continuing import as_sentence, next_step
from lambdas.failures.decisions import find_rule, remedy_of
from lambdas.shown_text import shorten

ABORT_ERRORS = {
    "ABORTED": "Fleetscore.ExecutionStopped",
    "TIMED_OUT": "Fleetscore.ExecutionTimedOut",
    "FAILED": "Fleetscore.ExecutionBrokenOff",
}
"""Error names for executions that ended before their last states, by Step Functions status."""

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


def open_job_reason(record: ExecutionRecord, job: JobRecord, error: str, cause: str) -> tuple[FailureKind, str]:
    """Return failure kind and reason for a job that was still open when the execution ended.

    `error` and `cause` are those with which the execution itself ended; empty if the Map ended normally.
    """
    step = next_step(record)
    if job.unrecorded_failure:
        return _noted_failure(job)
    if error == _THRESHOLD_ERROR:
        reason = "The execution ended early because more jobs had failed than it tolerates"
        remedy = f"Fix the failed jobs or raise tolerated_failure_percentage, then {step}."
        return FailureKind.STOPPED, f"{reason}. {remedy}"
    if error == ABORT_ERRORS["ABORTED"]:
        reason = f"{_STOPPED} before this job ended"
        detail = f" ({describe_failure('', cause)})" if cause else ""
        return FailureKind.STOPPED, f"{reason}{detail}. {as_sentence(step)}"
    if error:
        reason = f"The execution ended before this job did: {describe_failure(error, cause)}"
        return FailureKind.STOPPED, f"{shorten(reason, 800)}. Fix the cause, then {step}."
    reason = "The job's child execution ended without recording a result"
    return FailureKind.UNKNOWN, f"{reason}. Read its history in Step Functions, then {step}."


def _noted_failure(job: JobRecord) -> tuple[FailureKind, str]:
    """Return kind and reason of a failure that the workflow noted, because ClassifyFailure failed itself."""
    error, cause = _parse_noted(job.unrecorded_failure)
    rule = find_rule(error, read_cause(cause))
    what = shorten(describe_failure(error, cause).rstrip("."), 500) or rule.name
    why = shorten(describe_failure(*_parse_noted(job.classification_failure)).rstrip("."), 200) or "unknown"
    missing = f"No other attempt followed, because ClassifyFailure failed too ({why}): repair that first"
    return rule.kind, f"{what}. {remedy_of(rule, job)}. {missing}."


def _parse_noted(text: str) -> tuple[str, str]:
    """Return Error and Cause of a failure that the workflow has noted as JSON in a job's record."""
    try:
        failure = parse_json(text, keep_surrogates=True)
    except JsonError:
        failure = {}
    return caught_failure({FAILURE_FIELD: failure})


def describe_oversize(failure: str, request: Any) -> str:
    """Return the failure of an execution without a plan, with the size of the request if that is its cause."""
    problems = check_request_size(request) if "States.DataLimitExceeded" in failure else []
    return ". ".join([*map(str, problems), failure])


def execution_status(
    jobs: Sequence[JobRecord],
    planned: int,
    error: str = "",
    training_failure: str = "",
    objections: Sequence[str] = (),
) -> ExecutionStatus:
    """Return SUCCEEDED only if each planned job succeeded, and there are no objections: violations of
    the accounting, or a tolerated level that is passed.

    `planned` is 0 when there is no plan.

    An aborted execution did not succeed, even if all its jobs did, because Step Functions reports
    it as aborted. Nor did one whose training failed, although it scored with the current versions.
    """
    succeeded = sum(job.status is JobStatus.SUCCEEDED for job in jobs)
    if succeeded == 0:
        return ExecutionStatus.FAILED
    complete = succeeded == len(jobs) == planned and error not in ABORT_ERRORS.values()
    complete = complete and not training_failure and not objections
    return ExecutionStatus.SUCCEEDED if complete else ExecutionStatus.PARTLY_FAILED


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
    if record.passed_level:
        lines.append(f"More failed than the execution tolerates. {record.passed_level}")
    if record.violations:
        lines.append("The accounting of the execution does not hold:")
        lines += [f"- {text}" for text in record.violations]
        lines.append(f"Look at what is named, delete files that belong to no job, then {next_step(record)}.")
    if jobs and not failed:
        explained = record.training_failure or record.violations or record.passed_level
        if not explained or failure:
            lines.append("Every job succeeded, but the execution itself did not" + (f": {failure}" if failure else ""))
        if not explained:
            resume = f"`fleetscore resume {record.execution_id}`"
            lines.append(f"Nothing is missing. If others wait for an execution that succeeds, start {resume}.")
    elif not jobs:
        stopped = failure.startswith(_STOPPED)
        why = failure if stopped else f"The plan failed: {failure or 'it recorded neither jobs nor an error'}"
        action = "trained" if record.kind is ExecutionKind.TRAINING else "scored"
        lines.append(f"Nothing was {action}. {why}")
        step = next_step(record)
        lines.append(as_sentence(step if stopped else f"fix the cause, then {step}"))
    else:
        lines.append(f"{len(failed):,} of {len(jobs):,} jobs failed:")
        lines += [f"- {job.job_id}: {shorten(job.reason, _MAX_JOB_REASON_CHARACTERS)}" for job in failed[:_LISTED_JOBS]]
        if len(failed) > _LISTED_JOBS:
            lines.append(f"- and {len(failed) - _LISTED_JOBS:,} more")
        lines.append(f"Fix the causes, then {next_step(record)}.")
        if failure:
            lines.append(f"The workflow reports: {failure}")
    lines.append(f"See `fleetscore status {record.execution_id}`.")
    return "\n".join(lines)
