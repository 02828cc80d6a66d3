"""The progress of a job, from its record, and where its commits are."""

from datetime import datetime

from contract import layout, spot_layout
from contract.deadlines.predicted_end import JobProgress
from contract.status import FINAL_JOB_STATUSES, JobStatus
from contract.table.records import JobRecord


def ledger_prefixes(job: JobRecord) -> list[str]:
    """Return the prefixes of the results bucket below which a job's commits are.

    What a running attempt on spot capacity has committed is copied when it has ended.
    """
    prefixes = [layout.ledger_prefix(job.execution_id, job.job_id)]
    if job.scores_on_spot and job.status is JobStatus.RUNNING:
        prefixes.append(spot_layout.spot_ledger_prefix(job.execution_id, job.job_id, job.attempt))
    return prefixes


def progress_of(job: JobRecord, share: float, now: datetime) -> JobProgress:
    """Return the progress of a job or a part, of whose objects this share is committed."""
    seconds, waits = 0.0, bool(job.waiting_for) and job.status not in FINAL_JOB_STATUSES
    # A job that waits for its next attempt starts again, and so does one whose creation SageMaker has refused.
    if job.started_at and job.status is not JobStatus.WAITING and not waits:
        ended = datetime.fromisoformat(job.ended_at) if job.status in FINAL_JOB_STATUSES and job.ended_at else now
        seconds = max(0.0, (ended - datetime.fromisoformat(job.started_at)).total_seconds())
    return JobProgress(job.status, job.estimated_seconds, seconds, share, waits)
