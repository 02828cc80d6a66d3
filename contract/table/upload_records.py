"""Records of uploads: which part claimed an object version, and the windows that gather parts.

Access patterns, in the table of `records`:

| question                              | how                                                      |
|---------------------------------------|----------------------------------------------------------|
| which part claimed an object version  | get  pk=UPLOAD#<dataset>/<key>, sk=<digest of version>   |
| the window that gathers uploads       | get  pk=UPLOADS#<dataset>, sk=CURRENT                    |
| an upload window by number            | get  pk=UPLOADS#<dataset>, sk=WINDOW#<number>            |
| the window that a part belongs to     | get  pk=UPLOADS#<dataset>, sk=PART#<part>                |
| the parts of an upload window         | query pk=UPLOADS#<dataset>, sk begins MEMBER#<number>#   |
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from contract.status import WindowStatus
from contract.table.records import PARTITION_KEY, SORT_KEY, record_item
from contract.triggers.uploads import ObjectVersion

UPLOAD_PARTITIONS = "UPLOAD#"
UPLOADS_PARTITIONS = "UPLOADS#"
"""Prefixes of the partition keys, which policies of roles name."""
WINDOW_SORT_PREFIX = "WINDOW#"
"""Prefix of the sort keys of upload windows."""


@dataclass(frozen=True)
class UploadClaim:
    """Permanent assignment of an object version to an upload part."""

    dataset: str
    key: str
    version: str
    """The version's `ObjectVersion.identity`."""
    part: str


@dataclass(frozen=True)
class UploadPart:
    """Part of an upload window: the object versions that one call has claimed for the window."""

    dataset: str
    part: str
    window: int


@dataclass(frozen=True)
class CurrentWindow:
    """Number of a dataset's newest upload window."""

    dataset: str
    window: int


@dataclass(frozen=True)
class UploadWindow:
    """Record of an upload window: uploads to one dataset, gathered for one execution."""

    dataset: str
    window: int
    """Number of the window, from 1 without gaps."""
    status: WindowStatus
    closes_at: str
    request_json: str
    """Fields of the execution's input besides the dataset and manifest, as the stage had them when
    the window opened."""
    execution_id: str = ""
    objects_manifest: str = ""
    object_count: int = 0


def upload_claim_key(dataset: str, upload: ObjectVersion) -> dict[str, str]:
    # Each object has its own partition key, to spread the claims. The id of a version may be longer
    # than a sort key.
    digest = hashlib.sha256(upload.identity.encode()).hexdigest()
    return {PARTITION_KEY: f"{UPLOAD_PARTITIONS}{dataset}/{upload.key}", SORT_KEY: digest}


def upload_part_key(dataset: str, part: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{UPLOADS_PARTITIONS}{dataset}", SORT_KEY: f"PART#{part}"}


def upload_member_prefix(window: int) -> str:
    return f"MEMBER#{window:012d}#"


def upload_member_key(part: UploadPart) -> dict[str, str]:
    return {
        PARTITION_KEY: f"{UPLOADS_PARTITIONS}{part.dataset}",
        SORT_KEY: upload_member_prefix(part.window) + part.part,
    }


def current_window_key(dataset: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{UPLOADS_PARTITIONS}{dataset}", SORT_KEY: "CURRENT"}


def upload_window_key(dataset: str, window: int) -> dict[str, str]:
    return {PARTITION_KEY: f"{UPLOADS_PARTITIONS}{dataset}", SORT_KEY: f"{WINDOW_SORT_PREFIX}{window:012d}"}


def upload_claim_item(claim: UploadClaim, upload: ObjectVersion, expires_at: int | None = None) -> dict[str, Any]:
    return record_item(claim, upload_claim_key(claim.dataset, upload), expires_at)


def upload_part_items(part: UploadPart, expires_at: int | None = None) -> list[dict[str, Any]]:
    """Return the record's two items: one is found by its part, the other by its window."""
    keys = (upload_part_key(part.dataset, part.part), upload_member_key(part))
    return [record_item(part, key, expires_at) for key in keys]


def current_window_item(current: CurrentWindow) -> dict[str, Any]:
    """Return the item of a dataset's newest window.

    It never expires. If it did, numbers would start at 1 again, and a new window would look like an
    old one that has started.
    """
    return record_item(current, current_window_key(current.dataset), None)


def upload_window_item(window: UploadWindow, expires_at: int | None = None) -> dict[str, Any]:
    return record_item(window, upload_window_key(window.dataset, window.window), expires_at)
