"""Executions and their jobs as tables for people and as JSON values for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.diagnosis.facts import datasets, fact_lines, predictions_uris
from cli.views.diagnosis.failure_lines import failure_groups, groups_json, reason_lines, with_kind
from cli.views.executions.deadline import deadline_json
from cli.views.executions.execution_figures import (
    committed_objects,
    ended_at,
    expected_end,
    job_seconds,
    objects_done,
    rows_counted,
    rows_per_second,
    seconds_so_far,
    started_at,
    totals,
)
from cli.views.executions.waiting import waiting_lines
from cli.views.tables import (
    add_row,
    counted,
    one_line,
    plain_json,
    plain_table,
    plain_text,
)
from cli.views.wrapping import wrapped
from contract.job.spot_time import SpotTime
from contract.status import ExecutionKind, JobStatus
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.scoring_request import hide_task_token

_SHOWN_JOBS = 20
"""Largest table of jobs that is shown completely, in lines."""
_SHOWN_OF_MANY = 6
"""Number of jobs that are shown of more, those first that may need action."""
_SHOWN_REASON_LINES = 4
"""Longest reason or note in a terminal, in lines. `fleetscore why` and `--json` have all of it."""
JOB_ORDER = {
    JobStatus.RUNNING: 0,
    JobStatus.WAITING: 1,
    JobStatus.FAILED: 2,
    JobStatus.PENDING: 3,
    JobStatus.SUCCEEDED: 4,
}
"""Order of jobs when not all are shown: those that may need action come first."""
_STYLES = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "WAITING": "yellow",
    "PENDING": "dim",
    "PARTLY_FAILED": "yellow",
    "FAILED": "red",
    "ABORTED": "red",
    "TIMED_OUT": "red",
}


@dataclass(frozen=True)
class JobChoice:
    """Which jobs `fleetscore status` shows."""

    failed: bool = False
    """Whether to show failed jobs only."""
    every: bool = False
    """Whether to show every job, even if there are thousands."""

    def has(self, job: JobRecord) -> bool:
        return not self.failed or job.status is JobStatus.FAILED


SOME_JOBS = JobChoice()


def execution_view(
    snapshot: Snapshot,
    attempts: Mapping[str, Sequence[AttemptRecord]],
    choice: JobChoice = SOME_JOBS,
    *,
    width: int | None = None,
) -> list[RenderableType]:
    """Return what `fleetscore status` shows.

    With a `width`, that of a terminal, lines are wrapped and long reasons of jobs shortened.
    """
    status_line, *details = heading_lines(snapshot)
    if snapshot.ended and snapshot.status != "SUCCEEDED":
        details.append(f"Why: `fleetscore why {snapshot.execution_id}`")
    start, end = _wrapped([status_line, *fact_lines(snapshot)], width), _wrapped(details, width)
    if not snapshot.jobs:
        return [*start, *end]
    shown = replace(snapshot, jobs=tuple(job for job in snapshot.jobs if choice.has(job)))
    reasons = _wrapped(reason_lines(shown, attempts), width, _SHOWN_REASON_LINES)
    waiting = _wrapped(waiting_lines(snapshot), width)
    return [*start, *_jobs_lines(shown, choice), totals_line(snapshot), *waiting, *reasons, *end]


def _wrapped(texts: Sequence[str], width: int | None, max_lines: int | None = None) -> list[str]:
    lines = [line for text in texts for line in text.splitlines()]
    return [part for line in lines for part in wrapped(line, "", width, max_lines)]


def _jobs_lines(shown: Snapshot, choice: JobChoice) -> list[RenderableType]:
    """Return the table of jobs, and how many of them it does not show."""
    if not shown.jobs:
        return ["No failed jobs."]
    lines = sum(1 + len(shown.parts.get(job.job_id, ())) for job in shown.jobs)
    if choice.every or lines <= _SHOWN_JOBS:
        return [jobs_table(shown)]
    first = sorted(shown.jobs, key=lambda job: JOB_ORDER[job.status])[:_SHOWN_OF_MANY]
    hidden = Counter(job.status.value for job in shown.jobs)
    hidden.subtract(job.status.value for job in first)
    kinds = ", ".join(f"{count:,} {status}" for status, count in sorted(hidden.items()) if count)
    # Parts of split jobs are not shown either, because there may be hundreds.
    table = jobs_table(replace(shown, jobs=tuple(first)), parts=False)
    return [table, f"… and {counted(hidden.total(), 'more job')} ({kinds}); --all shows them"]


def jobs_table(snapshot: Snapshot, *, parts: bool = True) -> Table:
    """Return a table with one line per job, and below a split job one per part.

    Reasons are too long for it: see `reason_lines`.
    """
    numbers = ("attempt", "objects", "rows", "rows/s", "seconds")
    table = plain_table("job", "status", *numbers, right=numbers)
    for job in snapshot.jobs:
        add_row(table, *job_cells(job, snapshot))
        for part in snapshot.parts.get(job.job_id, ()) if parts else ():
            add_row(table, *job_cells(part, snapshot))
    return table


def job_cells(job: JobRecord, snapshot: Snapshot) -> list[Text | str]:
    """Return the cells job, status, attempt, objects, rows, rows per second and seconds."""
    seconds = job_seconds(job, snapshot.read_at) if job.ended_at or not snapshot.ended else None
    rate = rows_per_second(job, snapshot.read_at)
    return [
        f"  {job.part.text}" if job.part else job.job_id,
        status_text(job.status),
        f"{job.attempt}/{job.max_attempts}",
        objects_text(job, snapshot),
        f"{job.rows_in:,}" if rows_counted(job) else "",
        f"{rate:,.0f}" if rate is not None else "",
        f"{seconds:,.1f}" if seconds is not None else "",
    ]


def objects_text(job: JobRecord, snapshot: Snapshot) -> str:
    done = objects_done(job, snapshot)
    return f"{job.object_count:,}" if done is None else f"{done:,}/{job.object_count:,}"


def job_reason(job: JobRecord) -> str:
    return with_kind(job.failure_kind, job.reason)


def totals_line(snapshot: Snapshot) -> str:
    """Return a sentence about all jobs."""
    total = totals(snapshot)
    parts = [f"{total.jobs_ended:,} of {counted(total.jobs, 'job')} ended"]
    if total.jobs_failed:
        parts.append(f"{total.jobs_failed:,} failed")
    if total.jobs_running and not snapshot.ended:
        parts.append(f"{total.jobs_running:,} running")
    parts.append(counted(total.rows_in, "row"))
    if total.rows_quarantined:
        parts.append(f"{total.rows_quarantined:,} of them in quarantine")
    if total.rows_skipped:
        parts.append(f"{total.rows_skipped:,} of them skipped")
    return ", ".join(parts)


def heading_lines(snapshot: Snapshot) -> list[str]:
    """Return the lines around the jobs: status and label, then note, reason and summary address."""
    record = snapshot.record
    label = f" ({record.label})" if record is not None and record.label else ""
    word = "Training execution" if snapshot.kind is ExecutionKind.TRAINING else "Execution"
    lines = [f"{word} {snapshot.execution_id}{label}: {snapshot.status}"]
    if record is not None and record.training_execution_id:
        lines.append(f"Its training execution: {record.training_execution_id}.")
    lines += resume_lines(snapshot)
    if snapshot.note:
        lines.append(snapshot.note)
    # The reasons of failed jobs are more detailed than that of the execution.
    explained = any(job.reason for job in snapshot.jobs)
    # The jobs' reasons do not mention a failed training.
    explained = explained and not (record is not None and record.training_failure)
    if snapshot.ended and snapshot.reason and not explained and snapshot.reason not in snapshot.note:
        # The console shows the same text, where this command comes next.
        reason = snapshot.reason.removesuffix(f"\nSee `fleetscore status {snapshot.execution_id}`.")
        lines.append(f"Reason: {reason}")
    spot = sum((job.spot_time for job in snapshot.jobs if job.spot_time), start=SpotTime())
    if spot.text:
        lines.append(f"{spot.text}.")
    if record is not None and record.summary_uri:
        lines.append(f"Summary: {record.summary_uri}")
    return lines


def resume_lines(snapshot: Snapshot) -> list[str]:
    """Return what an execution continues, what its jobs have kept so far, and its plan's notes."""
    record = snapshot.record
    if record is None or not (record.resumes or record.keeps_scored):
        return []
    kept = sum(job.commits_kept for job in snapshot.jobs)
    expected = sum(job.object_count * len(job.model_ids) for job in snapshot.jobs)
    what = f"Continues {record.resumes}" if record.resumes else "Keeps what earlier executions have scored"
    # A request that was refused has no job, so it has kept nothing of nothing.
    kept_text = f": kept {kept:,} of {counted(expected, 'commit')}" if expected else ""
    lines = [f"{what}{kept_text}."]
    return [*lines, *[one_line(f"Plan: {note}") for note in record.notes]]


def snapshot_json(
    snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]] | None = None, choice: JobChoice = SOME_JOBS
) -> dict[str, Any]:
    """Return an execution as JSON. `note` explains a record that differs from Step Functions.

    Always complete: `choice` only leaves out jobs that did not fail.
    """
    workflow = snapshot.workflow
    chosen = tuple(job for job in snapshot.jobs if choice.has(job))
    jobs = []
    for job in chosen:
        parts = snapshot.parts.get(job.job_id, ())
        # Attempts are of the parts if the job is split.
        split = {"parts": [_job_json(part, snapshot, attempts) for part in parts]} if parts else {}
        jobs.append({**_job_json(job, snapshot, attempts), **split})
    start, end, expected = started_at(snapshot), ended_at(snapshot), expected_end(snapshot)
    done, objects = committed_objects(snapshot)
    return {
        "execution_id": snapshot.execution_id,
        "kind": snapshot.kind.value,
        "status": snapshot.status,
        "ended": snapshot.ended,
        "note": snapshot.note,
        "reason": snapshot.reason if snapshot.ended else "",
        "read_at": snapshot.read_at.isoformat(),
        "started_at": start.isoformat() if start else None,
        "ended_at": end.isoformat() if end else None,
        "seconds": seconds_so_far(snapshot),
        "expected_end": expected.isoformat() if expected else None,
        "deadline": deadline_json(snapshot),
        "datasets": list(datasets(snapshot)),
        "predictions_uris": predictions_uris(snapshot),
        "objects": objects,
        "objects_committed": done,
        "step_functions": None
        if workflow is None
        else {
            "status": workflow.status,
            "started_at": workflow.started_at.isoformat(),
            "stopped_at": workflow.stopped_at.isoformat() if workflow.stopped_at else None,
            "error": workflow.error,
            "cause": workflow.cause,
        },
        "record": None if snapshot.record is None else _record_json(snapshot.record),
        "totals": vars(totals(snapshot)),
        "failures": groups_json(failure_groups(replace(snapshot, jobs=chosen), attempts or {})),
        "jobs": jobs,
    }


def _job_json(
    job: JobRecord, snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]] | None
) -> dict[str, Any]:
    seconds = job_seconds(job, snapshot.read_at) if job.ended_at or not snapshot.ended else None
    figures = {
        "objects_committed": objects_done(job, snapshot),
        "seconds": seconds,
        "rows_per_second": rows_per_second(job, snapshot.read_at),
    }
    tried = {"attempts": [plain_json(attempt) for attempt in attempts.get(job.job_id, [])]} if attempts else {}
    return {**plain_json(job), **figures, **tried}


def _record_json(record: ExecutionRecord) -> dict[str, Any]:
    return {**plain_json(record), "request_json": hide_task_token(record.request_json)}


def status_text(status: str) -> Text:
    return plain_text(str(status), _STYLES.get(str(status), ""))
