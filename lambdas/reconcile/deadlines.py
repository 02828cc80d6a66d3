"""Predict whether a running execution misses its deadline."""

from datetime import datetime
from itertools import islice

from contract import layout
from contract.deadlines.lateness import Lateness, lateness_of
from contract.deadlines.predicted_end import PredictedEnd, predict_end
from contract.status import FINAL_JOB_STATUSES, ExecutionStatus
from contract.table.job_progress import ledger_prefixes, progress_of
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel

_MAX_COUNTED_JOBS = 1_000
"""Running jobs whose commits are counted. Each takes a listing."""
_MAX_SEGMENTS = 1_000
"""Segments per job that are counted: one page of a listing."""


def predicted_lateness(record: ExecutionRecord, deployment: Deployment) -> tuple[Lateness | None, PredictedEnd | None]:
    """Return what is predicted about an execution's deadline, and its end as far as it can be predicted."""
    if record.status is not ExecutionStatus.RUNNING or not record.deadline_at:
        return None, None
    now, predicted = deployment.clock(), None
    if record.plan is not None:
        jobs = deployment.table.jobs(record.execution_id)
        shares = _committed_shares(jobs, deployment.store)
        progress = [progress_of(job, shares.get(job.job_id, 0.0), now) for job in jobs]
        planned = None if record.estimate is None else record.estimate.seconds
        predicted = predict_end(progress, record.plan.max_concurrency, now, planned)
    return lateness_of(predicted, datetime.fromisoformat(record.deadline_at), now), predicted


def _committed_shares(jobs: list[JobRecord], store: ObjectStore) -> dict[str, float]:
    """Return the share of its commits that a started job has in the ledger, by job id.

    The names of segments tell how many commits they have. Repeated ones count too.
    """
    open_jobs = [job for job in jobs if job.status not in FINAL_JOB_STATUSES and job.attempt and job.objects_pinned]

    def share(job: JobRecord) -> float:
        segments = (
            found for prefix in ledger_prefixes(job) for found in islice(store.results_below(prefix), _MAX_SEGMENTS)
        )
        commits = sum(layout.commits_in_segment(found.key) or 0 for found in segments)
        return min(1.0, commits / job.objects_pinned)

    counted = open_jobs[:_MAX_COUNTED_JOBS]
    return dict(zip((job.job_id for job in counted), in_parallel(share, counted), strict=True))
