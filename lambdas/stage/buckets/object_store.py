"""The stage's buckets: plans, jobs, ledgers and summaries here, and everything else in base classes.

Only the classes of this folder call S3.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from contract import codec, layout
from contract.catalog.model_spec import ModelSpec
from contract.job.fleet_keys import needed_members
from contract.job.scoring_spec import JobSpec, PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot, read_snapshot
from contract.json_text import dump_json
from contract.planner.plan import CapacityPlan
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer
from contract.workflow.summary import ExecutionSummary
from lambdas.stage.buckets.buckets import compact_json
from lambdas.stage.buckets.dataset_objects import DatasetObjects
from lambdas.stage.buckets.manifests import input_manifest
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.buckets.training_objects import TrainingObjects
from lambdas.stage.buckets.upload_objects import UploadObjects

COPY_IN_PARTS_BYTES = 512 << 20
"""Size above which an output is copied in parts of this size, in bytes. Parts are copied in parallel, and one request
copies at most 5 GB."""


class ObjectStore(DatasetObjects, UploadObjects, TrainingObjects):
    """Reads and writes the stage's three buckets: see the base classes for datasets, uploads and training."""

    def __init__(self, s3: Any, *, datasets_bucket: str, models_bucket: str, results_bucket: str) -> None:
        super().__init__(
            s3, datasets_bucket=datasets_bucket, models_bucket=models_bucket, results_bucket=results_bucket
        )
        self._last_snapshot: tuple[SnapshotRef, tuple[PinnedObject, ...]] | None = None

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
        self._put_once(
            layout.snapshot_manifest_key(execution_id, snapshot.dataset, snapshot.part), compact_json(manifest)
        )
        return snapshot.ref(layout.s3_uri(self.results_bucket, key), text)

    def add_job_spec(self, spec: JobSpec) -> None:
        """Write a job's spec.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        self._put_once(layout.job_spec_key(spec.execution_id, spec.job_id), compact_json(codec.to_json(spec)))

    def add_jobs(self, execution_id: str, pointers: Sequence[JobPointer]) -> None:
        """Write the items of the Map.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        self._put_once(layout.jobs_key(execution_id), compact_json([codec.to_json(pointer) for pointer in pointers]))

    def keep_capacity(self, execution_id: str, plan: CapacityPlan) -> CapacityPlan:
        """Write the jobs that the planner has chosen, or return those that an earlier call wrote.

        Raises:
            InvalidInputError: when they come from another release.
        """
        key = layout.capacity_key(execution_id)
        if self._put_new(key, compact_json(codec.to_json(plan))):
            return plan
        return codec.loads(CapacityPlan, self._get(key), subject=layout.s3_uri(self.results_bucket, key))

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
        self._put(key, compact_json(input_manifest(self.models_bucket, [layout.artifact_key(*name) for name in named])))

    def write_data_manifest(self, spec: JobSpec, attempt: int, object_keys: Iterable[str]) -> None:
        """Write the manifest of the objects that a later attempt scores."""
        prefix = layout.dataset_prefix(spec.dataset)
        key = layout.data_manifest_key(spec.execution_id, spec.job_id, attempt)
        self._put(
            key, compact_json(input_manifest(spec.dataset_bucket, [prefix + object_key for object_key in object_keys]))
        )

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

    def segment(self, key: str) -> bytes:
        """Return the content of a segment of a ledger, by its key in the results bucket."""
        return self._get(key)

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
