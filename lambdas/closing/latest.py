"""Decide which predictions of an execution are the latest complete ones of their dataset and model."""

from collections.abc import Callable, Iterable

from contract import layout
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind, JobStatus
from contract.table.job_parts import group_parts, whole_job
from contract.table.latest_predictions import LatestPredictions, point_to_job
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.closing.accounting import job_violations

_MAX_RESUMPTIONS = 100
"""Longest chain of resumed executions that is followed."""


def original_execution(
    record: ExecutionRecord, find: Callable[[str], ExecutionRecord | None]
) -> ExecutionRecord | None:
    """Return the execution whose snapshots these jobs have: the first of those that were resumed.

    Returns None if its record is gone, because then nobody knows what it covered.
    """
    for _ in range(_MAX_RESUMPTIONS):
        if not record.resumes:
            return record
        found = find(record.resumes)
        if found is None:
            return None
        record = found
    return None


def covers_whole_datasets(request_json: str) -> bool:
    """Return whether an execution of this request scores all objects of its datasets.

    Executions of uploads have a manifest of some objects. That of a table's snapshot has all.

    >>> covers_whole_datasets('{"dataset": "flights"}')
    True
    >>> covers_whole_datasets('{"objects_manifest": "uploads/flights/window-1.json"}')
    False
    """
    try:
        request = parse_json(request_json, keep_surrogates=True)
    except JsonError:
        return False
    manifest = request.get("objects_manifest") if isinstance(request, dict) else None
    return manifest is None or str(manifest).rpartition("/")[2].startswith(layout.TABLE_MANIFEST)


def latest_predictions(
    original: ExecutionRecord | None,
    records: Iterable[JobRecord],
    results_bucket: str,
    expiry_days: int | None,
) -> list[LatestPredictions]:
    """Return a pointer per model of the jobs that succeeded and whose accounting holds; none for parts
    of datasets.

    `records` are of the execution's jobs and parts of jobs, `original` is the one whose snapshots
    they have.
    """
    if original is None or not covers_whole_datasets(original.request_json):
        return []
    pointers: list[LatestPredictions] = []
    for parts in group_parts(records).values():
        job = whole_job(parts)
        if job.status is not JobStatus.SUCCEEDED or job.kind is not ExecutionKind.SCORING:
            continue
        if any(True for part in parts for _ in job_violations(part)):
            continue
        # A resumed execution has the objects of the original, which is older than its own plan.
        planned_at = job.created_at if original.execution_id == job.execution_id else original.started_at
        pointers += point_to_job(parts, results_bucket, planned_at=planned_at, expiry_days=expiry_days)
    return pointers
