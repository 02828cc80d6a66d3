"""Figures computed from records: durations, rates and totals."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cli.stage.execution_snapshot import Snapshot
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, JobStatus
from contract.table.records import JobRecord


@dataclass(frozen=True)
class Totals:
    """Sums over an execution's jobs. Rows are counted once per model or fleet, in succeeded jobs only."""

    jobs: int
    jobs_ended: int
    jobs_succeeded: int
    jobs_failed: int
    jobs_running: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    rows_skipped: int


def totals(snapshot: Snapshot) -> Totals:
    jobs = snapshot.jobs
    return Totals(
        jobs=len(jobs),
        jobs_ended=sum(job.status in FINAL_JOB_STATUSES for job in jobs),
        jobs_succeeded=sum(job.status is JobStatus.SUCCEEDED for job in jobs),
        jobs_failed=sum(job.status is JobStatus.FAILED for job in jobs),
        jobs_running=sum(job.status is JobStatus.RUNNING for job in jobs),
        rows_in=sum(job.rows_in for job in jobs),
        rows_scored=sum(job.rows_scored for job in jobs),
        rows_quarantined=sum(job.rows_quarantined for job in jobs),
        rows_skipped=sum(job.rows_skipped for job in jobs),
    )


def distinct_objects(jobs: Iterable[JobRecord]) -> int:
    """Return how many objects the jobs score, each counted once however many jobs read it.

    All jobs over a dataset have its objects, but for the parts of a job, which `jobs` has as one.
    """
    of_dataset: dict[str, int] = {}
    for job in jobs:
        of_dataset[job.dataset] = max(job.object_count, of_dataset.get(job.dataset, 0))
    return sum(of_dataset.values())


def job_seconds(job: JobRecord, now: datetime) -> float | None:
    """Return the seconds from the first attempt to the end or `now`; None before an attempt."""
    if not job.started_at:
        return None
    end = datetime.fromisoformat(job.ended_at) if job.ended_at else now
    return max(0.0, (end - datetime.fromisoformat(job.started_at)).total_seconds())


def rows_counted(job: JobRecord) -> bool:
    """Return whether a job's rows are known. Rows that a training script reads are not counted."""
    return job.status is JobStatus.SUCCEEDED and (job.rows_in > 0 or job.kind is ExecutionKind.SCORING)


def rows_per_second(job: JobRecord, now: datetime) -> float | None:
    """Return a succeeded job's rows per second, instance start included; None if unknown."""
    seconds = job_seconds(job, now)
    return job.rows_in / seconds if rows_counted(job) and seconds else None


def overall_rows_per_second(snapshot: Snapshot) -> float | None:
    """Return rows per second of all succeeded jobs, from the first start to the last end or now."""
    started = [datetime.fromisoformat(job.started_at) for job in snapshot.jobs if job.started_at]
    if not started:
        return None
    open_jobs = any(job.status not in FINAL_JOB_STATUSES for job in snapshot.jobs)
    ends = [datetime.fromisoformat(job.ended_at) for job in snapshot.jobs if job.ended_at]
    seconds = ((snapshot.read_at if open_jobs else max(ends)) - min(started)).total_seconds()
    return totals(snapshot).rows_in / seconds if seconds > 0 else None


def objects_done(job: JobRecord, snapshot: Snapshot) -> int | None:
    """Return the number of committed objects, from the ledger while a job runs; None if unknown."""
    if job.status is JobStatus.SUCCEEDED:
        return job.object_count
    if job.job_id in snapshot.parts:
        counts = [objects_done(part, snapshot) for part in snapshot.parts[job.job_id]]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None
    return snapshot.committed.get(job.job_id)
