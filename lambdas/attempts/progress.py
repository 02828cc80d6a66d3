"""Marks of how far a job has come, to tell whether an attempt made progress."""

import hashlib
from collections.abc import Iterator
from itertools import chain

from contract import layout, spot_layout, training_layout
from contract.status import ExecutionKind
from contract.table.records import JobRecord
from lambdas.attempts.output_files import spot_attempts
from lambdas.stage.buckets.object_store import ObjectStore


def progress_mark(job: JobRecord, store: ObjectStore) -> str:
    """Return a digest of the job's segments of the ledger, or of its checkpoints; empty if there are none.

    The attempt's record has the mark of its start. It differs from a later one only if the attempt has
    written something. No clock is compared: that of a function may be wrong, and S3 reports whole seconds.
    """
    lines = sorted(_checkpoints(job, store) if job.kind is ExecutionKind.TRAINING else _segments(job, store))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _segments(job: JobRecord, store: ObjectStore) -> Iterator[str]:
    # A segment never changes, and its name has a digest of its content.
    prefixes = [layout.ledger_prefix(job.execution_id, job.job_id)]
    if job.scores_on_spot:
        attempts = spot_attempts(job.execution_id, job.job_id, store)
        prefixes += [spot_layout.spot_ledger_prefix(job.execution_id, job.job_id, attempt) for attempt in attempts]
    for found in chain.from_iterable(map(store.results_below, prefixes)):
        if layout.commits_in_segment(found.key) is not None:
            yield found.key


def _checkpoints(job: JobRecord, store: ObjectStore) -> Iterator[str]:
    for found in store.results_below(training_layout.checkpoints_prefix(job.execution_id, job.job_id)):
        yield f"{found.key} {found.etag} {found.last_modified:.0f}"
