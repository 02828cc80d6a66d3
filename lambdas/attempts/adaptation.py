"""How a job's attempts adapt to what earlier ones ran out of. Pure functions, no I/O.

The settings of an attempt follow from the job's record and the shortages that the records of the
earlier attempts name. So repeated calls of a step, and both steps that ask, get the same settings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from contract.catalog.instance_types import has_local_storage
from contract.catalog.models import Compute, instance_types
from contract.job.scoring_spec import DEFAULT_BATCH_ROWS
from contract.status import ExecutionKind, Shortage
from contract.table.records import AttemptRecord, JobRecord

BATCH_DIVISOR = 8
"""Divisor of the rows per batch after an attempt that ran out of memory."""
MIN_BATCH_ROWS = 1_024
_VOLUME_FACTOR = 2


@dataclass(frozen=True)
class AttemptSettings:
    """What may differ between the attempts of a job."""

    batch_rows: int
    """Most rows per batch; 0 for training, which has no batches."""
    instance_type: str
    volume_size_gb: int
    changes: tuple[str, ...] = ()
    """What was changed because of earlier attempts, and why, in the order of the changes."""


def settings_of(job: JobRecord, attempt: int, attempts: Iterable[AttemptRecord]) -> AttemptSettings:
    """Return the settings of an attempt: the job's own, with a change per earlier shortage.

    `attempts` are the job's; those that are not before `attempt` do not count.
    """
    compute = job.compute
    settings = AttemptSettings(
        batch_rows=DEFAULT_BATCH_ROWS if job.kind is ExecutionKind.SCORING else 0,
        instance_type=compute.instance_type or "",
        volume_size_gb=compute.volume_size_gb or 0,
    )
    earlier = sorted((item for item in attempts if item.attempt < attempt), key=lambda item: item.attempt)
    for record in earlier:
        if record.shortage is not None:
            settings = settings_after(compute, settings, record.attempt, record.shortage) or settings
    return settings


def settings_after(
    compute: Compute, settings: AttemptSettings, attempt: int, shortage: Shortage
) -> AttemptSettings | None:
    """Return the settings of the attempt after one that ran out of something.

    Return None if the settings allow no more of it.
    """
    if shortage is Shortage.MEMORY:
        changed = _with_more_memory(compute, settings)
    elif shortage is Shortage.DISK_SPACE:
        changed = _with_more_disk(compute, settings)
    else:
        # More time is none of the settings: the next attempt goes on where this one ended.
        return replace(settings, changes=(*settings.changes, f"goes on where attempt {attempt} ran out of time"))
    if changed is None:
        return None
    change = f"{difference(settings, changed)}: attempt {attempt} ran out of {shortage}"
    return replace(changed, changes=(*settings.changes, change))


def difference(before: AttemptSettings, after: AttemptSettings) -> str:
    """Return how settings differ, in words; empty if they do not.

    >>> difference(AttemptSettings(65_536, "ml.m5.large", 30), AttemptSettings(8_192, "ml.m5.large", 30))
    'rows per batch 65,536 → 8,192'
    """
    parts = []
    if before.batch_rows != after.batch_rows:
        parts.append(f"rows per batch {before.batch_rows:,} → {after.batch_rows:,}")
    if before.instance_type != after.instance_type:
        parts.append(f"instance type {before.instance_type} → {after.instance_type}")
    if before.volume_size_gb != after.volume_size_gb:
        parts.append(f"volume {before.volume_size_gb:,} GB → {after.volume_size_gb:,} GB")
    return ", ".join(parts)


def _with_more_memory(compute: Compute, settings: AttemptSettings) -> AttemptSettings | None:
    """Return settings with smaller batches at first, then with each larger type, then with still
    smaller batches."""
    smaller = max(MIN_BATCH_ROWS, settings.batch_rows // BATCH_DIVISOR)
    can_shrink = settings.batch_rows > smaller
    if can_shrink and settings.batch_rows == DEFAULT_BATCH_ROWS:
        return replace(settings, batch_rows=smaller)
    if larger := _next_type(compute, settings.instance_type):
        return replace(settings, instance_type=larger)
    return replace(settings, batch_rows=smaller) if can_shrink else None


def _with_more_disk(compute: Compute, settings: AttemptSettings) -> AttemptSettings | None:
    """Return settings with a larger volume, or with the next type if the type has local storage."""
    if has_local_storage(settings.instance_type):
        larger = _next_type(compute, settings.instance_type)
        return replace(settings, instance_type=larger) if larger else None
    size = min(settings.volume_size_gb * _VOLUME_FACTOR, compute.max_volume_size_gb or 0)
    return replace(settings, volume_size_gb=size) if size > settings.volume_size_gb else None


def _next_type(compute: Compute, current: str) -> str:
    """Return the type after `current` in the job's list; empty after the last one."""
    types = instance_types(compute)
    following = types[types.index(current) + 1 :] if current in types else ()
    return following[0] if following else ""
