"""The objects of datasets, and the artifacts of models."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from contract import layout
from contract.job.scoring_spec import PinnedObject
from lambdas.stage.buckets.buckets import Buckets
from lambdas.stage.buckets.named_keys import find_named, order
from lambdas.stage.buckets.stored_object import StoredObject, archive_of, stored_object
from lambdas.stage.parallel import in_parallel

_KEYS_PER_THREAD = 1_000
"""Keys that one thread looks up at a time; four calls find them if they follow each other."""
_UNREADABLE = frozenset(
    {
        "404",
        "NoSuchKey",
        "403",
        "AccessDenied",
        "412",
        "PreconditionFailed",
        "416",
        "InvalidRange",
        "InvalidObjectState",
    }
)
"""Error codes of an object that was removed, denied, replaced or archived since it was listed."""
_WITH_RESTORE_STATUS = {"OptionalObjectAttributes": ["RestoreStatus"]}


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact in the models bucket."""

    bytes: int
    archive: str
    """Archive storage class or tier that the artifact must be restored from; else empty."""


class DatasetObjects(Buckets):
    """Reads datasets, and finds artifacts."""

    def dataset_objects(self, dataset: str) -> list[StoredObject]:
        """List everything below the dataset's prefix, whether it is data or not, ordered by key."""
        return list(self._list(self.datasets_bucket, layout.dataset_prefix(dataset), **_WITH_RESTORE_STATUS))

    def archive_tier(self, dataset: str, key: str) -> str:
        """Return an object's archive tier in Intelligent-Tiering; empty if readable or deleted."""
        return self._archive_tier(self.datasets_bucket, layout.dataset_prefix(dataset) + key)

    def _archive_tier(self, bucket: str, key: str) -> str:
        try:
            head = self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNREADABLE:
                return ""
            raise
        return archive_of(head)

    def dataset_range(self, dataset: str, item: PinnedObject, start: int, end: int) -> bytes | None:
        """Return bytes `start` to `end` (exclusive) of a pinned object; None if unavailable."""
        try:
            answer = self._s3.get_object(
                Bucket=self.datasets_bucket,
                Key=layout.dataset_prefix(dataset) + item.key,
                Range=f"bytes={start}-{end - 1}",
                IfMatch=f'"{item.etag}"',
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNREADABLE:
                return None
            raise
        body: bytes = answer["Body"].read()
        return body

    def folder_objects(self, dataset: str, folder: str) -> Iterator[StoredObject]:
        """List everything below a folder of the dataset (empty or ending in "/"), with keys
        relative to the dataset, page by page.
        """
        for entry in self._list(self.datasets_bucket, layout.dataset_prefix(dataset) + folder):
            yield replace(entry, key=folder + entry.key)

    def first_keys(self, dataset: str, prefix: str) -> list[str]:
        """Return the first keys of the dataset that begin with a prefix, at most a page of them."""
        start = layout.dataset_prefix(dataset)
        found = self._s3.list_objects_v2(Bucket=self.datasets_bucket, Prefix=start + prefix)
        return [entry["Key"].removeprefix(start) for entry in found.get("Contents", ())]

    def named_objects(self, dataset: str, keys: Sequence[str]) -> dict[str, StoredObject]:
        """Return the dataset's current objects with these keys, by key.

        Missing objects are left out.

        No permission to read objects is needed: a key is the first in a listing of the keys that
        begin with it.
        """
        return self._named(self.datasets_bucket, layout.dataset_prefix(dataset), keys)

    def artifacts(self, keys: Sequence[str]) -> dict[str, StoredArtifact]:
        """Return the artifacts with these keys, by key. Missing ones are left out."""
        listed = self._named(self.models_bucket, "", keys)
        # No listing shows the archive tiers of Intelligent-Tiering.
        tiered = [entry.key for entry in listed.values() if entry.is_tiered]
        tiers = dict(
            zip(tiered, in_parallel(lambda key: self._archive_tier(self.models_bucket, key), tiered), strict=True)
        )
        return {key: StoredArtifact(entry.size, entry.archive or tiers.get(key, "")) for key, entry in listed.items()}

    def _named(self, bucket: str, prefix: str, keys: Iterable[str]) -> dict[str, StoredObject]:
        def find(key: str) -> StoredObject | None:
            found = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix + key, MaxKeys=1, **_WITH_RESTORE_STATUS)
            first = [stored_object(entry, prefix) for entry in found.get("Contents", ())]
            return first[0] if first and first[0].key == key else None

        def list_after(key: str, count: int) -> list[StoredObject]:
            found = self._s3.list_objects_v2(
                Bucket=bucket, Prefix=prefix, StartAfter=prefix + key, MaxKeys=count, **_WITH_RESTORE_STATUS
            )
            return [stored_object(entry, prefix) for entry in found.get("Contents", ())]

        ordered = sorted(set(keys), key=order)
        parts = [ordered[start : start + _KEYS_PER_THREAD] for start in range(0, len(ordered), _KEYS_PER_THREAD)]
        found = in_parallel(lambda part: list(find_named(part, find, list_after)), parts)
        return {entry.key: entry for entries in found for entry in entries}
