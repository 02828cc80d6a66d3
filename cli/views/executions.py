"""Executions and their jobs as tables for people and as JSON values for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.stage.execution_snapshot import Snapshot
from cli.views.execution_figures import job_seconds, objects_done, rows_counted, rows_per_second, totals
from cli.views.tables import add_row, counted, one_line, plain_json, plain_table, plain_text
from contract.status import ExecutionKind, FailureKind
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.scoring_request import hide_task_token

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


def execution_view(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]]) -> list[RenderableType]:
    """Return what `fleetscore status` shows."""
    status_line, *details = heading_lines(snapshot)
    if not snapshot.jobs:
        return [status_line, *details]
    return [status_line, jobs_table(snapshot), totals_line(snapshot), *reason_lines(snapshot, attempts), *details]


def jobs_table(snapshot: Snapshot) -> Table:
    """Return a table with one line per job, and below a split job one per part.

    Reasons are too long for it: see `reason_lines`.
    """
    numbers = ("attempt", "objects", "rows", "rows/s", "seconds")
    table = plain_table("job", "status", *numbers, right=numbers)
    for job in snapshot.jobs:
        add_row(table, *job_cells(job, snapshot))
        for part in snapshot.parts.get(job.job_id, ()):
            add_row(table, *job_cells(part, snapshot))
    return table


def reason_lines(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]]) -> list[str]:
    """Return the full reasons of failed and waiting jobs and attempts, and the jobs' notes."""
    lines: list[str] = []
    for job in snapshot.jobs:
        for item in snapshot.parts.get(job.job_id, (job,)):
            if item.reason or item.outcome:
                lines.append(f"{job_name(item)}: {job_reason(item) if item.reason else item.outcome}")
            # The last attempt of a failed job has the same reason as the job.
            tried = [a for a in attempts.get(item.job_id, []) if a.reason and a.reason != item.reason]
            lines += [f"{job_name(item)}, attempt {a.attempt}: {_with_kind(a.failure_kind, a.reason)}" for a in tried]
        lines += [f"{job.job_id}, note: {note}" for note in (*_fleet_notes(job), *job.notes)]
    return [one_line(line) for line in lines]


def _fleet_notes(job: JobRecord) -> list[str]:
    """Return the number of a fleet's models, and the rows that it skipped."""
    if not job.fleet:
        return []
    skipped = f"; {counted(job.rows_skipped, 'row')} of no model skipped" if job.rows_skipped else ""
    return [f"fleet {job.fleet} of {counted(job.fleet_models, 'model')}{skipped}"]


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


def job_name(job: JobRecord) -> str:
    """Return the job's id; for a part, the id of its job and which part it is."""
    return f"{job.part.job_id}, {job.part.text}" if job.part else job.job_id


def objects_text(job: JobRecord, snapshot: Snapshot) -> str:
    done = objects_done(job, snapshot)
    return f"{job.object_count:,}" if done is None else f"{done:,}/{job.object_count:,}"


def job_reason(job: JobRecord) -> str:
    return _with_kind(job.failure_kind, job.reason)


def _with_kind(kind: FailureKind | None, reason: str) -> str:
    # A container's message already begins with its kind.
    return f"{kind}: {reason}" if kind and not reason.startswith(f"{kind}:") else reason


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
    if snapshot.note:
        lines.append(snapshot.note)
    # The reasons of failed jobs are more detailed than that of the execution.
    explained = any(job.reason for job in snapshot.jobs)
    # The jobs' reasons do not mention a failed training.
    explained = explained and not (record is not None and record.training_failure)
    if snapshot.ended and snapshot.reason and not explained and snapshot.reason not in snapshot.note:
        lines.append(f"Reason: {snapshot.reason}")
    if record is not None and record.summary_uri:
        lines.append(f"Summary: {record.summary_uri}")
    return lines


def snapshot_json(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]] | None = None) -> dict[str, Any]:
    """Return an execution as JSON. `note` explains a record that differs from Step Functions."""
    workflow = snapshot.workflow
    jobs = []
    for job in snapshot.jobs:
        parts = snapshot.parts.get(job.job_id, ())
        # Attempts are of the parts if the job is split.
        split = {"parts": [_job_json(part, snapshot, attempts) for part in parts]} if parts else {}
        jobs.append({**_job_json(job, snapshot, attempts), **split})
    return {
        "execution_id": snapshot.execution_id,
        "kind": snapshot.kind.value,
        "status": snapshot.status,
        "ended": snapshot.ended,
        "note": snapshot.note,
        "reason": snapshot.reason if snapshot.ended else "",
        "read_at": snapshot.read_at.isoformat(),
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
