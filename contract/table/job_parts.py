"""Reports a job that the plan split into parts as one job. Each part has its own record."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from contract.job.notes import sum_notes
from contract.job.spot_time import SpotTime
from contract.status import FINAL_JOB_STATUSES, FailureKind, JobStatus
from contract.table.records import JobRecord

_OPEN_FIRST = (JobStatus.RUNNING, JobStatus.WAITING)


def group_parts(records: Iterable[JobRecord]) -> dict[str, tuple[JobRecord, ...]]:
    """Return the records of each job by job id: all of its parts in order, or the only one."""
    jobs: dict[str, list[JobRecord]] = {}
    for record in records:
        jobs.setdefault(record.part.job_id if record.part else record.job_id, []).append(record)
    return {
        job_id: tuple(sorted(found, key=lambda record: record.part.number if record.part else 0))
        for job_id, found in jobs.items()
    }


def whole_job(parts: Sequence[JobRecord]) -> JobRecord:
    """Return one record for all parts of a job; an unsplit job's record unchanged.

    The job has ended when all parts have, and has failed if one of them has, or has no record. Its
    reason says which.
    """
    first = parts[0]
    if first.part is None:
        return first
    started = [part.started_at for part in parts if part.started_at]
    ended = all(part.ended_at for part in parts)
    # A part that waits for another attempt has the kind of its last failure.
    failures = sorted(
        (part for part in parts if part.failure_kind), key=lambda part: part.status is not JobStatus.FAILED
    )
    status = _status([part.status for part in parts])
    reasons = [f"{part.part.text}: {part.reason}" for part in parts if part.part and part.reason]
    kind = failures[0].failure_kind if failures else None
    if (lost := first.part.count - len(parts)) and status in FINAL_JOB_STATUSES:
        # Nobody knows whether their objects were scored.
        status, kind = JobStatus.FAILED, kind or FailureKind.UNKNOWN
        reasons.append(f"{lost:,} of {first.part.count:,} parts have no record: start a new execution")
    return replace(
        first,
        job_id=first.part.job_id,
        part=None,
        status=status,
        object_count=sum(part.object_count for part in parts),
        input_bytes=sum(part.input_bytes for part in parts),
        compute=replace(first.compute, instance_count=first.part.count),
        attempt=max(part.attempt for part in parts),
        # Each part has its own.
        sagemaker_job_name="",
        started_at=min(started, default=""),
        ended_at=max(part.ended_at for part in parts) if ended else "",
        rows_in=sum(part.rows_in for part in parts),
        rows_scored=sum(part.rows_scored for part in parts),
        rows_quarantined=sum(part.rows_quarantined for part in parts),
        rows_skipped=sum(part.rows_skipped for part in parts),
        commits=sum(part.commits for part in parts),
        commits_kept=sum(part.commits_kept for part in parts),
        spot_time=sum((part.spot_time for part in parts if part.spot_time), start=SpotTime())
        if any(part.spot_time for part in parts)
        else None,
        failure_kind=kind,
        reason="; ".join(reasons),
        waiting_for=next((part.waiting_for for part in parts if part.waiting_for), ""),
        waiting_since=min((part.waiting_since for part in parts if part.waiting_for), default=""),
        waiting_instances=sum(part.waiting_instances for part in parts),
        waited_seconds=sum(part.waited_seconds for part in parts),
        duplicate_keys=sum(part.duplicate_keys for part in parts),
        null_keys=sum(part.null_keys for part in parts),
        # Estimates are made of the parts' own.
        measured=None,
        estimated_seconds=max(part.estimated_seconds for part in parts),
        notes=(*_split_notes(parts), *sum_notes(note for part in parts for note in part.notes)),
    )


def _status(statuses: Sequence[JobStatus]) -> JobStatus:
    if all(status in FINAL_JOB_STATUSES for status in statuses):
        return JobStatus.FAILED if JobStatus.FAILED in statuses else JobStatus.SUCCEEDED
    # Between the end of one part and the start of another, no part may be running.
    started = JobStatus.PENDING if set(statuses) == {JobStatus.PENDING} else JobStatus.RUNNING
    return next((status for status in _OPEN_FIRST if status in statuses), started)


def _split_notes(parts: Sequence[JobRecord]) -> list[str]:
    """Return the note on a split job's reason, and on the limits of more instances."""
    sharding = parts[0].sharding
    if sharding is None:
        return []
    why = (
        "a job on spot capacity has one instance"
        if parts[0].compute.uses_spot
        else f"distribution by number would give one instance {sharding.largest_shard_bytes:,} bytes, and the mean is "
        f"{sharding.mean_shard_bytes:,}"
    )
    note = f"split into {sharding.parts:,} parts of one instance each, because {why}"
    largest = max(parts, key=lambda part: part.input_bytes)
    if largest.part is not None and largest.object_count == 1:
        note += (
            f". {largest.part.text.capitalize()} is a single object of {largest.input_bytes:,} bytes, so more "
            "instances do not make the job faster: split the object"
        )
    return [note]
