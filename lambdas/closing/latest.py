"""Decide which predictions of an execution are the latest complete ones of their dataset and model."""

from collections.abc import Collection, Iterable

from contract.status import ExecutionKind, JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.latest_predictions import LatestPredictions, covers_whole_datasets, point_to_job
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.closing.accounting import job_violations


def latest_predictions(
    original: ExecutionRecord | None,
    records: Iterable[JobRecord],
    results_bucket: str,
    *,
    planned_at: str,
    expiry_days: int | None,
    moved_datasets: Collection[str] = (),
) -> list[LatestPredictions]:
    """Return a pointer per model of the jobs that succeeded and whose accounting holds; none for parts
    of datasets.

    `records` are of the execution's jobs and parts of jobs, `original` is the one whose snapshots
    they have, and `planned_at` is when it was planned. Objects of `moved_datasets` have new keys, which
    are not scored.
    """
    if original is None or not covers_whole_datasets(original.request_json):
        return []
    pointers: list[LatestPredictions] = []
    for parts in group_parts(records).values():
        job = whole_job(parts)
        if job.status is not JobStatus.SUCCEEDED or job.kind is not ExecutionKind.SCORING:
            continue
        if job.dataset in moved_datasets:
            continue
        if any(True for part in parts for _ in job_violations(part)):
            continue
        pointers += point_to_job(parts, results_bucket, planned_at=planned_at, expiry_days=expiry_days)
    return pointers
