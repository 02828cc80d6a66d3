"""Objects as listings and HeadObject describe them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read. GLACIER_IR is not one."""
_TIERED = "INTELLIGENT_TIERING"


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing. `key` is relative to the listed prefix, `size` is in bytes."""

    key: str
    size: int
    etag: str
    last_modified: float
    """Time in epoch seconds; S3 reports whole seconds."""
    archive: str = ""
    """Storage class of an object that must be restored before it can be read; else empty."""
    is_tiered: bool = False
    """Whether S3 may have moved the object to an archive tier, which no listing shows."""


def stored_object(entry: Mapping[str, Any], prefix: str) -> StoredObject:
    """Return the object of an entry in a listing, with its key relative to a prefix."""
    return StoredObject(
        key=entry["Key"].removeprefix(prefix),
        size=entry["Size"],
        etag=entry["ETag"].strip('"'),
        last_modified=entry["LastModified"].timestamp(),
        archive=archive_of(entry),
        is_tiered=entry.get("StorageClass") == _TIERED,
    )


def archive_of(described: Mapping[str, Any]) -> str:
    """Return the class or tier that an object must be restored from; empty if readable.

    `described` is an entry of a listing, or the answer of HeadObject about an object in
    Intelligent-Tiering.
    """
    storage_class = described.get("StorageClass", "")
    if storage_class in _ARCHIVES:
        # A restored copy exists as long as it has a date of expiry.
        return "" if "RestoreExpiryDate" in described.get("RestoreStatus", ()) else storage_class
    # An object of a tier has no copy: a restored one is moved, and then has no status.
    tier = described.get("ArchiveStatus", "")
    return f"{storage_class}, {tier}" if tier else ""
