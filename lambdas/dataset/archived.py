"""Refuse objects in archived storage, which no job can read."""

from collections.abc import Iterable

from contract.problems import Problem
from lambdas.shown_text import list_first
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.parallel import in_parallel

_LISTED_OBJECTS = 3
_DAYS_BEFORE_ARCHIVING = 90
"""Days without access after which Intelligent-Tiering may archive an object, at the earliest."""
RESTORE = "Restore them (`aws s3api restore-object`) and wait until that has ended, copy them to another storage class"


def check_archived(dataset: str, objects: Iterable[StoredObject], store: ObjectStore, now: float) -> list[Problem]:
    """Return a problem when objects of the dataset must be restored before they can be read.

    Listings show storage classes and whether an object is restored. They do not show the archive
    tiers of Intelligent-Tiering, so objects that can be there are asked for one by one. `now` is in
    epoch seconds.
    """
    listed = list(objects)
    archives = {item.key: item.archive for item in listed if item.archive}
    oldest = now - _DAYS_BEFORE_ARCHIVING * 86_400
    tiered = [item.key for item in listed if item.is_tiered and item.last_modified < oldest]
    tiers = in_parallel(lambda key: store.archive_tier(dataset, key), tiered)
    archives |= {key: tier for key, tier in zip(tiered, tiers, strict=True) if tier}
    if not archives:
        return []
    first = list_first([f"{key} ({archive})" for key, archive in sorted(archives.items())], _LISTED_OBJECTS)
    counted = f"{len(archives):,} of {len(listed):,} objects in archived storage"
    remedy = f"{RESTORE}, or move them out of the dataset. The first: {first}."
    return [Problem(f"dataset {dataset!r}", counted, "only objects that can be read at once", remedy)]
