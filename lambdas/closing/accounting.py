"""The accounting of an execution: every pinned object is committed or failed, every row is accounted
for, and S3 has no output of an unknown job."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from contract import layout
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, JobStatus
from contract.table.job_parts import group_parts
from contract.table.records import JobRecord
from lambdas.shown_text import shorten
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.parallel import in_parallel

MAX_VIOLATIONS = 20
"""Largest number of violations in a record: the first ones tell what is wrong."""
_MAX_NAME_CHARACTERS = 300


def find_violations(planned: int, records: Sequence[JobRecord], store: ObjectStore) -> tuple[str, ...]:
    """Return the first violations of the accounting; empty if it holds.

    `planned` is the number of jobs in the plan. `records` are final, of jobs and parts of jobs.
    Lists the folders of the execution's outputs, but none of their files: VerifyOutput has compared
    those with the ledger, job by job.
    """
    found = [*missing_records(planned, records), *(text for job in records for text in job_violations(job))]
    # Only as many folders as are shown: a message with more would help nobody.
    found += islice(unknown_outputs(records, store), MAX_VIOLATIONS)
    return tuple(shorten(text, 2 * _MAX_NAME_CHARACTERS) for text in found[:MAX_VIOLATIONS])


def missing_records(planned: int, records: Iterable[JobRecord]) -> Iterator[str]:
    """Yield a text if the records are not those of all planned jobs and their parts."""
    jobs = group_parts(records)
    if len(jobs) != planned:
        yield f"the plan has {planned:,} jobs, the table has records of {len(jobs):,}"
    for job_id, parts in jobs.items():
        expected = parts[0].part.count if parts[0].part else 1
        if len(parts) != expected:
            yield f"job {job_id}: {len(parts):,} of {expected:,} parts have a record"


def job_violations(job: JobRecord) -> Iterator[str]:
    """Yield what does not add up in the final record of a job or a part."""
    if job.status not in FINAL_JOB_STATUSES:
        yield f"job {job.job_id}: its record is {job.status.value}, although the execution has ended"
    if job.kind is ExecutionKind.TRAINING:
        return
    if job.status is JobStatus.SUCCEEDED and job.commits != job.objects_pinned:
        yield (
            f"job {job.job_id}: it succeeded with {job.commits:,} of {job.objects_pinned:,} objects committed "
            "(an object counts once per model)"
        )
    elif job.commits > job.objects_pinned:
        yield f"job {job.job_id}: {job.commits:,} objects are committed, but only {job.objects_pinned:,} pinned"
    accounted = job.rows_scored + job.rows_quarantined + job.rows_skipped
    if job.rows_in != accounted:
        yield (
            f"job {job.job_id}: {job.rows_in:,} rows in, but {job.rows_scored:,} scored + "
            f"{job.rows_quarantined:,} in quarantine + {job.rows_skipped:,} skipped = {accounted:,}"
        )
    if job.rows_skipped and not job.fleet:
        yield f"job {job.job_id}: {job.rows_skipped:,} rows are skipped, but only a fleet may skip rows"


def unknown_outputs(records: Sequence[JobRecord], store: ObjectStore) -> Iterator[str]:
    """Yield the folders and files of the execution's outputs that belong to none of its jobs.

    An execution may have thousands of datasets, so folders are listed in parallel.
    """
    known: dict[str, set[str]] = {}
    """Folders of jobs, by the prefix that is listed."""
    for job in records:
        if job.kind is not ExecutionKind.SCORING:
            continue
        for kind, output_layout in layout.OUTPUT_AREAS:
            area = layout.executions_with_outputs_prefix(kind, job.dataset, output_layout) + f"{job.execution_id}/"
            folders = known.setdefault(area, set())
            own = layout.job_outputs_prefix(kind, job.dataset, job.execution_id, job.job_id, job.output_layout)
            if own.startswith(area):
                folders.add(own)

    def find_unknown(area: str) -> list[str]:
        # Only as many as are shown, because each listing may be long.
        unknown = (area + name for name in store.result_entries(area) if area + name not in known[area])
        return list(islice(unknown, MAX_VIOLATIONS))

    for found in in_parallel(find_unknown, known):
        for name in found:
            yield f"{shorten(name, _MAX_NAME_CHARACTERS)}: no job of the execution writes there"
