"""Artifacts in the models bucket: never overwritten, and removed only by their uploader.

Every registration owns a version of the object (the bucket is versioned): it uploads one, or copies
the equal object that it finds onto itself. After a refusal it removes its own version, and keeps
that of a concurrent registration of the same bytes.
"""

import base64
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.documents.artifact import Artifact
from cli.failures import CommandError, error_code
from cli.stage.catalog.small_uploads import SmallUploads
from contract import layout

_SHA256_METADATA = "sha256"
_SINGLE_REQUEST_BYTES = 5 * 1024**3
"""Largest object that one PutObject or CopyObject takes, in bytes."""
_SMALL_BYTES = 1 << 20
"""Largest artifact that is uploaded from memory, before asking whether there is one, in bytes."""
_TRIES = 6
_PRECONDITION_FAILED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})


class ArtifactTakenError(CommandError):
    """Another artifact is stored under this name; an artifact is never overwritten."""


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact in the models bucket, and the version of the object that this process wrote."""

    bucket: str
    key: str
    object_version: str
    """Empty if unknown: the object is too large for one request, or the bucket has no versions."""

    @property
    def address(self) -> str:
        return layout.s3_uri(self.bucket, self.key)


def store_artifact(
    uploads: SmallUploads, bucket: str, model_id: str, version: str, artifact: Artifact
) -> StoredArtifact:
    """Write the artifact to the models bucket, where nothing or the same bytes are stored.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    s3, key = uploads.s3, layout.artifact_key(model_id, version)
    for number in range(_TRIES):
        # Uploading a small artifact takes less time than asking whether there is one.
        is_asked = number > 0 or artifact.size > _SMALL_BYTES
        found = _find_equal(s3, bucket, key, artifact) if is_asked else None
        if artifact.size > _SINGLE_REQUEST_BYTES:
            if found is None:
                s3.upload_file(str(artifact.path), bucket, key, ExtraArgs={"Metadata": _metadata(artifact)})
            return StoredArtifact(bucket, key, "")
        try:
            if found is not None:
                object_version = _copy(s3, bucket, key, artifact, found)
            elif artifact.size <= _SMALL_BYTES:
                object_version = uploads.put(
                    bucket, key, artifact.path.read_bytes(), artifact.sha256, _metadata(artifact)
                )
            else:
                object_version = _upload(s3, bucket, key, artifact)
        except ClientError as error:
            # Another registration wrote or removed the object meanwhile, or an answer of S3 was
            # lost.
            if error_code(error) not in _PRECONDITION_FAILED | _NOT_FOUND:
                raise
            continue
        return StoredArtifact(bucket, key, object_version)
    raise ArtifactTakenError(f"Another registration keeps writing {layout.s3_uri(bucket, key)}. Try again.")


def remove_artifact(s3: Any, stored: StoredArtifact) -> None:
    """Remove the object version that this process wrote.

    Failures are ignored: the next registration of the model takes another number, or continues with
    the same bytes.
    """
    if stored.object_version and stored.object_version != "null":
        with contextlib.suppress(ClientError, BotoCoreError):
            s3.delete_object(Bucket=stored.bucket, Key=stored.key, VersionId=stored.object_version)


def check_key_is_free(s3: Any, bucket: str, model_id: str, version: str, artifact: Artifact) -> None:
    """Check that no other artifact is stored as this version.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    _find_equal(s3, bucket, layout.artifact_key(model_id, version), artifact)


def _upload(s3: Any, bucket: str, key: str, artifact: Artifact) -> str:
    checksum = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    with artifact.path.open("rb") as file:
        answer: Mapping[str, Any] = s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=file,
            Metadata=_metadata(artifact),
            ChecksumSHA256=checksum,
            IfNoneMatch="*",
        )
    return answer.get("VersionId") or ""


def _copy(s3: Any, bucket: str, key: str, artifact: Artifact, found: Mapping[str, Any]) -> str:
    """Copy an equal object onto itself.

    It fails if this version of the object has been removed meanwhile.
    """
    source = {"Bucket": bucket, "Key": key}
    if found.get("VersionId"):
        source["VersionId"] = found["VersionId"]
    answer: Mapping[str, Any] = s3.copy_object(
        Bucket=bucket,
        Key=key,
        CopySource=source,
        CopySourceIfMatch=found["ETag"],
        MetadataDirective="REPLACE",
        Metadata=_metadata(artifact),
    )
    return answer.get("VersionId") or ""


def _metadata(artifact: Artifact) -> dict[str, str]:
    return {_SHA256_METADATA: artifact.sha256}


def _find_equal(s3: Any, bucket: str, key: str, artifact: Artifact) -> Mapping[str, Any] | None:
    """Return HeadObject's answer if the same bytes are stored there, None if nothing is.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    try:
        stored: Mapping[str, Any] = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) in _NOT_FOUND:
            return None
        raise
    digest = stored.get("Metadata", {}).get(_SHA256_METADATA) or _download_digest(s3, bucket, key)
    if digest == artifact.sha256:
        return stored
    raise ArtifactTakenError(
        f"{layout.s3_uri(bucket, key)} already holds another artifact (SHA-256 {digest[:12]}…, yours is "
        f"{artifact.sha256[:12]}…), and an artifact is never overwritten. Choose another --version, or leave it out to "
        "get the next free number."
    )


def _download_digest(s3: Any, bucket: str, key: str) -> str:
    digest = hashlib.sha256()
    for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1024 * 1024):
        digest.update(chunk)
    return digest.hexdigest()
