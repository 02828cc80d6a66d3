"""Finds the jobs of an execution that a person names, and names jobs for people."""

from difflib import get_close_matches

from cli.failures import CommandError
from cli.stage.executions.execution_snapshot import Snapshot
from contract.table.records import JobRecord


def job_name(job: JobRecord) -> str:
    """Return the job's id; for a part, the id of its job and which part it is."""
    return f"{job.part.job_id}, {job.part.text}" if job.part else job.job_id


def all_items(snapshot: Snapshot) -> list[JobRecord]:
    """Return the records that have attempts: the jobs, and the parts in place of split jobs."""
    return [item for job in snapshot.jobs for item in snapshot.parts.get(job.job_id, (job,))]


def items_of(snapshot: Snapshot, job: str) -> list[JobRecord]:
    """Return the records of a job that have attempts: its own, or those of its parts.

    Raises:
        CommandError: when the execution has no job and no part with this id.
    """
    items = all_items(snapshot)
    found = [item for item in items if job in (item.job_id, item.part.job_id if item.part else "")]
    if found:
        return found
    known = sorted({item.job_id for item in items} | {whole.job_id for whole in snapshot.jobs})
    close = get_close_matches(job, known, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"See `fleetscore status {snapshot.execution_id}`."
    raise CommandError(f"JOB: got {job!r}, expected one of the {len(snapshot.jobs):,} jobs of this execution. {hint}")
