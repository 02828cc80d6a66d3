"""Markers and manifests of uploads."""

from collections.abc import Mapping, Sequence

from botocore.exceptions import ClientError

from contract import codec, layout
from contract.json_text import parse_json
from contract.triggers.uploads import ObjectVersion, UploadManifest
from lambdas.stage.buckets.buckets import Buckets, compact_json


class UploadObjects(Buckets):
    """Reads markers, and reads and writes which uploads an execution scores."""

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
        self._put_new(
            layout.upload_part_key(dataset, part), compact_json([codec.to_json(upload) for upload in uploads])
        )

    def upload_part(self, dataset: str, part: str) -> list[ObjectVersion]:
        return self._uploads(layout.upload_part_key(dataset, part))

    def add_upload_share(self, dataset: str, part: str, uploads: Sequence[ObjectVersion]) -> None:
        self._put_new(
            layout.upload_share_key(dataset, part), compact_json([codec.to_json(upload) for upload in uploads])
        )

    def upload_share(self, dataset: str, part: str) -> list[ObjectVersion]:
        return self._uploads(layout.upload_share_key(dataset, part))

    def add_upload_manifest(self, key: str, manifest: UploadManifest) -> None:
        """Write an upload manifest, unless an earlier call wrote it."""
        self._put_new(key, compact_json(codec.to_json(manifest)))

    def has_upload_manifest(self, key: str) -> bool:
        return self._exists(self.results_bucket, key)

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
        self._put_once(layout.skipped_key(execution_id), compact_json(skipped))

    def _uploads(self, key: str) -> list[ObjectVersion]:
        return [codec.from_json(ObjectVersion, item, subject=key) for item in parse_json(self._get(key))]
