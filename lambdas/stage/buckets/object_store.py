"""The stage's buckets: datasets, artifacts, job specs, manifests, ledger and summary.

Only `ObjectStore` calls S3.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from contract import codec, layout
from contract.catalog.model_spec import ModelSpec
from contract.job.fleet_keys import needed_members
from contract.job.scoring_spec import JobSpec, PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot, read_snapshot
from contract.json_text import dump_json, parse_json
from contract.table.records import JobRecord
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.messages import JobPointer
from contract.workflow.summary import ExecutionSummary
from lambdas.errors import PlanChangedError
from lambdas.stage.buckets.manifests import input_manifest
from lambdas.stage.buckets.named_keys import find_named, order
from lambdas.stage.buckets.training_objects import TrainingObjects
from lambdas.stage.parallel import in_parallel

_CONFLICT_TRIES = 3
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


COPY_IN_PARTS_BYTES = 512 << 20
"""Size above which an output is copied in parts of this size, in bytes. Parts are copied in parallel, and one request
copies at most 5 GB."""
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read. GLACIER_IR is not one."""
_TIERED = "INTELLIGENT_TIERING"
_WITH_RESTORE_STATUS = {"OptionalObjectAttributes": ["RestoreStatus"]}


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


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact in the models bucket."""

    bytes: int
    archive: str
    """Archive storage class or tier that the artifact must be restored from; else empty."""


class ObjectStore(TrainingObjects):
    """Reads and writes the stage's three buckets."""

    def __init__(self, s3: Any, *, datasets_bucket: str, models_bucket: str, results_bucket: str) -> None:
        self._s3 = s3
        self.datasets_bucket = datasets_bucket
        self.models_bucket = models_bucket
        self.results_bucket = results_bucket
        self._last_snapshot: tuple[SnapshotRef, tuple[PinnedObject, ...]] | None = None

    # ---- datasets and artifacts --------------------------------------------------------------

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
        return _archive(head)

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
            first = [_stored(entry, prefix) for entry in found.get("Contents", ())]
            return first[0] if first and first[0].key == key else None

        def list_after(key: str, count: int) -> list[StoredObject]:
            found = self._s3.list_objects_v2(
                Bucket=bucket, Prefix=prefix, StartAfter=prefix + key, MaxKeys=count, **_WITH_RESTORE_STATUS
            )
            return [_stored(entry, prefix) for entry in found.get("Contents", ())]

        ordered = sorted(set(keys), key=order)
        parts = [ordered[start : start + _KEYS_PER_THREAD] for start in range(0, len(ordered), _KEYS_PER_THREAD)]
        found = in_parallel(lambda part: list(find_named(part, find, list_after)), parts)
        return {entry.key: entry for entries in found for entry in entries}

    # ---- uploads -----------------------------------------------------------------------------

    def marker_text(self, dataset: str, marker: ObjectVersion, max_bytes: int) -> bytes | None:
        """Return the content of exactly this version of a marker, at most one byte more than
        `max_bytes`; None when it was deleted.
        """
        version = {"VersionId": marker.version_id} if marker.version_id else {}
        key = layout.dataset_prefix(dataset) + marker.key
        try:
            body: bytes = self._s3.get_object(Bucket=self.datasets_bucket, Key=key, **version)["Body"].read(
                max_bytes + 1
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed"):
                return None
            raise
        return body

    def add_upload_part(self, dataset: str, part: str, uploads: Sequence[ObjectVersion]) -> None:
        self._put_new(layout.upload_part_key(dataset, part), _text([codec.to_json(upload) for upload in uploads]))

    def upload_part(self, dataset: str, part: str) -> list[ObjectVersion]:
        return self._uploads(layout.upload_part_key(dataset, part))

    def add_upload_share(self, dataset: str, part: str, uploads: Sequence[ObjectVersion]) -> None:
        self._put_new(layout.upload_share_key(dataset, part), _text([codec.to_json(upload) for upload in uploads]))

    def upload_share(self, dataset: str, part: str) -> list[ObjectVersion]:
        return self._uploads(layout.upload_share_key(dataset, part))

    def add_upload_manifest(self, key: str, manifest: UploadManifest) -> None:
        """Write an upload manifest, unless an earlier call wrote it."""
        self._put_new(key, _text(codec.to_json(manifest)))

    def has_upload_manifest(self, key: str) -> bool:
        found = self._s3.list_objects_v2(Bucket=self.results_bucket, Prefix=key, MaxKeys=1)
        return [entry["Key"] for entry in found.get("Contents", ())] == [key]

    def upload_manifest(self, key: str) -> UploadManifest | None:
        """Return the manifest at this key; None when there is none.

        Raises:
            InvalidInputError: when it is not a manifest of this release.
        """
        if not self.has_upload_manifest(key):
            return None
        return codec.loads(UploadManifest, self._get(key), subject=layout.s3_uri(self.results_bucket, key))

    def add_skipped(self, execution_id: str, reasons: Mapping[str, str]) -> None:
        """Write which objects of its upload manifest an execution skips, each with the reason.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        skipped = [{"key": key, "reason": reason} for key, reason in sorted(reasons.items())]
        self._put_once(layout.skipped_key(execution_id), _text(skipped))

    def _uploads(self, key: str) -> list[ObjectVersion]:
        return [codec.from_json(ObjectVersion, item, subject=key) for item in parse_json(self._get(key))]

    # ---- the plan ----------------------------------------------------------------------------

    def add_snapshot(self, execution_id: str, snapshot: Snapshot) -> SnapshotRef:
        """Write a snapshot, and the manifest of its objects.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        key, text = layout.snapshot_key(execution_id, snapshot.dataset, snapshot.part), snapshot.text()
        self._put_once(key, text)
        prefix = layout.dataset_prefix(snapshot.dataset)
        manifest = input_manifest(snapshot.dataset_bucket, (prefix + item.key for item in snapshot.objects))
        self._put_once(layout.snapshot_manifest_key(execution_id, snapshot.dataset, snapshot.part), _text(manifest))
        return snapshot.ref(layout.s3_uri(self.results_bucket, key), text)

    def add_job_spec(self, spec: JobSpec) -> None:
        """Write a job's spec.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        self._put_once(layout.job_spec_key(spec.execution_id, spec.job_id), _text(codec.to_json(spec)))

    def add_jobs(self, execution_id: str, pointers: Sequence[JobPointer]) -> None:
        """Write the items of the Map.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        self._put_once(layout.jobs_key(execution_id), _text([codec.to_json(pointer) for pointer in pointers]))

    # ---- a job -------------------------------------------------------------------------------

    def job_spec(self, execution_id: str, job_id: str) -> JobSpec:
        """Return the job's spec.

        Raises:
            InvalidInputError: when it comes from another release.
        """
        key = layout.job_spec_key(execution_id, job_id)
        return codec.loads(JobSpec, self._get(key), subject=layout.s3_uri(self.results_bucket, key))

    def objects_of(self, spec: JobSpec) -> tuple[PinnedObject, ...]:
        """Return the objects of the job's snapshot.

        Raises:
            InvalidInputError: when the snapshot was replaced or comes from another release.
        """
        return self.snapshot(spec.snapshot)

    def snapshot(self, ref: SnapshotRef) -> tuple[PinnedObject, ...]:
        """Return the objects of a snapshot.

        The last one is kept, because the jobs of an execution share few.

        Raises:
            InvalidInputError: when the snapshot was replaced or comes from another release.
        """
        kept = self._last_snapshot
        if kept is None or kept[0] != ref:
            key = ref.uri.removeprefix(layout.s3_uri(self.results_bucket, ""))
            kept = ref, tuple(read_snapshot(io.BytesIO(self._get(key)), ref))
            self._last_snapshot = kept
        return kept[1]

    def write_models_manifest(self, job: JobRecord) -> None:
        """Write the manifest of the artifacts that a job needs: those of its models, or of the models
        of a fleet that its objects' keys may need."""
        named = list(zip(job.model_ids, job.model_versions, strict=True))
        if job.fleet:
            # The record of a fleet's job is small, and does not name its models.
            spec = self.job_spec(job.execution_id, job.job_id)
            models: Sequence[ModelSpec] = spec.models
            if spec.fleet is not None and spec.fleet.in_key:
                models = needed_members(spec.fleet, spec.models, (item.key for item in self.objects_of(spec)))
            named = [(model.model_id, model.version) for model in models]
        key = layout.models_manifest_key(job.execution_id, job.job_id)
        self._put(key, _text(input_manifest(self.models_bucket, [layout.artifact_key(*name) for name in named])))

    def write_data_manifest(self, spec: JobSpec, attempt: int, object_keys: Iterable[str]) -> None:
        """Write the manifest of the objects that a later attempt scores."""
        prefix = layout.dataset_prefix(spec.dataset)
        key = layout.data_manifest_key(spec.execution_id, spec.job_id, attempt)
        self._put(key, _text(input_manifest(spec.dataset_bucket, [prefix + object_key for object_key in object_keys])))

    def results_below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below a prefix of the results bucket, page by page."""
        return self._list(self.results_bucket, prefix)

    def result_entries(self, prefix: str) -> Iterator[str]:
        """Yield the folders (with a slash at the end) and files directly below a prefix of the results
        bucket, relative to it. A placeholder of the prefix itself is left out.
        """
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            for folder in page.get("CommonPrefixes", ()):
                yield folder["Prefix"].removeprefix(prefix)
            yield from (name for entry in page.get("Contents", ()) if (name := entry["Key"].removeprefix(prefix)))

    def segment(self, execution_id: str, job_id: str, name: str) -> bytes:
        """Return the content of a segment of the job's ledger."""
        return self._get(layout.ledger_prefix(execution_id, job_id) + name)

    def add_segment(self, spec: JobSpec, name: str, content: bytes) -> None:
        """Write a segment of the job's ledger, whose name follows from its content."""
        self._put(layout.ledger_prefix(spec.execution_id, spec.job_id) + name, content)

    def copy_result(self, source: str, target: str, size: int) -> str | None:
        """Copy an object of this size, in bytes, to another key of the results bucket. No bytes leave S3.

        Return the copy's CRC64NVME, as `result_checksum` does; None when there is no such source.
        """
        copied_from = {"Bucket": self.results_bucket, "Key": source}
        try:
            if size > COPY_IN_PARTS_BYTES:
                self._s3.copy(
                    copied_from,
                    self.results_bucket,
                    target,
                    ExtraArgs={"ChecksumAlgorithm": "CRC64NVME"},
                    Config=TransferConfig(
                        multipart_threshold=COPY_IN_PARTS_BYTES, multipart_chunksize=COPY_IN_PARTS_BYTES
                    ),
                )
                return self.result_checksum(target)
            answer = self._s3.copy_object(
                Bucket=self.results_bucket,
                Key=target,
                CopySource=copied_from,
                ChecksumAlgorithm="CRC64NVME",
                # The role needs no permission for tags, which outputs do not have.
                TaggingDirective="REPLACE",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                return None
            raise
        checksum: str = answer["CopyObjectResult"].get("ChecksumCRC64NVME", "")
        return checksum

    def result_checksum(self, key: str) -> str | None:
        """Return the CRC64NVME that S3 computed over an object of the results bucket, in Base64.

        It is empty when S3 has none of the whole object, and None when there is no such object.
        """
        try:
            head = self._s3.head_object(Bucket=self.results_bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in {"404", "NoSuchKey"}:
                return None
            if code not in {"403", "AccessDenied"}:
                raise
            # The answer to HeadObject has no body, and so no reason.
            message = (
                f"Forbidden for {layout.s3_uri(self.results_bucket, key)}: the function's role needs s3:GetObject on "
                "it, and kms:Decrypt on the key that encrypts it"
            )
            raise ClientError({"Error": {"Code": code, "Message": message}}, error.operation_name) from error
        checksum: str = head.get("ChecksumCRC64NVME", "")
        return "" if head.get("ChecksumType") == "COMPOSITE" else checksum

    def result_with_etag(self, key: str) -> tuple[bytes, str]:
        """Return an object of the results bucket and its ETag; both are empty if there is none."""
        try:
            answer = self._s3.get_object(Bucket=self.results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return b"", ""
            raise
        return answer["Body"].read(), answer["ETag"]

    def replace_result(self, key: str, body: bytes, etag: str) -> bool:
        """Write an object if its ETag is still this one, or if it does not exist (empty ETag).

        Return whether it was written.
        """
        return self._put_if(key, body, {"IfMatch": etag} if etag else {"IfNoneMatch": "*"})

    # ---- the summary -------------------------------------------------------------------------

    def write_summary(self, summary: ExecutionSummary) -> str:
        """Write summary.json and return its URI."""
        key = layout.summary_key(summary.execution_id)
        self._put(key, dump_json(codec.to_json(summary), indent=1).encode())
        return layout.s3_uri(self.results_bucket, key)

    # ---- S3 requests -------------------------------------------------------------------------

    def _list(self, bucket: str, prefix: str, **options: Any) -> Iterator[StoredObject]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options):
            for entry in page.get("Contents", ()):
                yield _stored(entry, prefix)

    def _get(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self.results_bucket, Key=key)["Body"].read()
        return body

    def _put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.results_bucket, Key=key, Body=body, ContentType="application/json")

    def _put_once(self, key: str, body: bytes) -> None:
        """Write an object, unless it already exists with the same content.

        Raise PlanChangedError if it differs.
        """
        if not self._put_new(key, body) and self._get(key) != body:
            raise PlanChangedError(layout.s3_uri(self.results_bucket, key))

    def _put_new(self, key: str, body: bytes) -> bool:
        """Write an object that does not exist yet; return whether it was written."""
        return self._put_if(key, body, {"IfNoneMatch": "*"})

    def _put_if(self, key: str, body: bytes, condition: Mapping[str, str]) -> bool:
        """Write an object if the condition holds; return whether it was written."""
        for last_try in (*[False] * (_CONFLICT_TRIES - 1), True):
            try:
                self._s3.put_object(
                    Bucket=self.results_bucket, Key=key, Body=body, ContentType="application/json", **condition
                )
            except ClientError as error:
                code = error.response["Error"]["Code"]
                # S3 reports an object that was deleted since as missing.
                if code in ("PreconditionFailed", "NoSuchKey"):
                    return False
                # Two concurrent writes: S3 tells one of them to retry.
                if code != "ConditionalRequestConflict" or last_try:
                    raise
            else:
                return True
        raise AssertionError("unreachable")


def _stored(entry: Mapping[str, Any], prefix: str) -> StoredObject:
    return StoredObject(
        key=entry["Key"].removeprefix(prefix),
        size=entry["Size"],
        etag=entry["ETag"].strip('"'),
        last_modified=entry["LastModified"].timestamp(),
        archive=_archive(entry),
        is_tiered=entry.get("StorageClass") == _TIERED,
    )


def _archive(described: Mapping[str, Any]) -> str:
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


def _text(value: Any) -> bytes:
    return dump_json(value, separators=(",", ":")).encode()
