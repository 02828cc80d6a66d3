"""Figures computed from records: durations, rates and totals."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.stage.executions.execution_snapshot import Snapshot
from contract.deadlines.predicted_end import PredictedEnd, predict_end
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, JobStatus
from contract.table.job_progress import progress_of
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
    if job.job_id in snapshot.committed:
        return snapshot.committed[job.job_id]
    return job.commits // len(job.model_ids) if job.commits else None


def committed_objects(snapshot: Snapshot) -> tuple[int, int]:
    """Return the committed objects and all objects, both counted once per job.

    Objects of jobs whose ledgers were not read do not count as committed.
    """
    scoring = [job for job in snapshot.jobs if job.kind is ExecutionKind.SCORING]
    return sum(objects_done(job, snapshot) or 0 for job in scoring), sum(job.object_count for job in scoring)


def started_at(snapshot: Snapshot) -> datetime | None:
    """Return when the execution started."""
    if snapshot.workflow is not None:
        return snapshot.workflow.started_at
    return datetime.fromisoformat(snapshot.record.started_at) if snapshot.record is not None else None


def ended_at(snapshot: Snapshot) -> datetime | None:
    """Return when the execution ended; None while it runs, and if nobody knows."""
    if snapshot.workflow is not None:
        return snapshot.workflow.stopped_at if snapshot.workflow.ended else None
    ended = snapshot.record.ended_at if snapshot.record is not None else ""
    return datetime.fromisoformat(ended) if ended else None


def seconds_so_far(snapshot: Snapshot) -> float | None:
    """Return the seconds from the execution's start to its end or to now; None if unknown."""
    start, end = started_at(snapshot), ended_at(snapshot)
    if start is None or (end is None and snapshot.ended):
        return None
    return max(0.0, ((end or snapshot.read_at) - start).total_seconds())


def predicted_end(snapshot: Snapshot) -> PredictedEnd | None:
    """Return when a running execution ends, by its plan's estimates and its progress; None without estimates."""
    record = snapshot.record
    parts = [part for job in snapshot.jobs for part in snapshot.parts.get(job.job_id, (job,))]
    if snapshot.ended or record is None or record.plan is None or not any(part.estimated_seconds for part in parts):
        return None

    def share(part: JobRecord) -> float:
        return (objects_done(part, snapshot) or 0) / part.object_count if part.object_count else 0.0

    jobs = [progress_of(part, share(part), snapshot.read_at) for part in parts]
    planned = None if record.estimate is None else record.estimate.seconds
    return predict_end(jobs, record.plan.max_concurrency, snapshot.read_at, planned)


def expected_end(snapshot: Snapshot) -> datetime | None:
    """Return when a running execution will probably end; None when nothing tells.

    Without the plan's estimates, the answer supposes that the rest of the input bytes takes as long
    per byte as what this execution has committed since its first attempt started.
    """
    if (predicted := predicted_end(snapshot)) is not None:
        return predicted.expected
    started = [datetime.fromisoformat(job.started_at) for job in snapshot.jobs if job.started_at]
    if snapshot.ended or not started:
        return None
    done = left = 0.0
    for job in snapshot.jobs:
        per_object = job.input_bytes / job.object_count if job.object_count else 0.0
        committed = objects_done(job, snapshot) or 0
        # What a resumed execution took over cost it no time.
        done += max(0, committed - job.commits_kept // len(job.model_ids)) * per_object
        left += 0.0 if job.status in FINAL_JOB_STATUSES else (job.object_count - committed) * per_object
    elapsed = (snapshot.read_at - min(started)).total_seconds()
    if done <= 0 or elapsed <= 0:
        return None
    return snapshot.read_at + timedelta(seconds=left * elapsed / done)
