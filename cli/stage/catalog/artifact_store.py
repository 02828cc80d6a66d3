"""Artifacts in the models bucket: never overwritten, and removed only by their uploader.

Every registration owns a version of the object (the bucket is versioned): it uploads one, or copies
the equal object that it finds onto itself. After a refusal it removes its own version, and keeps
that of a concurrent registration of the same bytes.
"""

import base64
import contextlib
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.documents.artifact import Artifact
from cli.failures import CommandError, error_code
from contract import layout

_SHA256_METADATA = "sha256"
_SINGLE_REQUEST_BYTES = 5 * 1024**3
"""Largest object that one PutObject or CopyObject takes, in bytes."""
_ASKED_FROM_BYTES = 1 << 20
"""Size in bytes from which an artifact is uploaded only where nothing is stored."""
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


def send_small_bodies_at_once(s3: Any) -> None:
    """Let a client send a body of bytes with the head of its request.

    botocore sends the content of any PutObject after S3 has asked for it, which takes another round trip.
    That pays for large files, which S3 may refuse.
    """
    # botocore's own handler is for all operations, and runs after those of one.
    s3.meta.events.register_last("before-call.s3", _expect_nothing)


def _expect_nothing(params: dict[str, Any], **_: Any) -> None:
    if isinstance(params.get("body"), io.BytesIO):
        params["headers"].pop("Expect", None)


def store_artifact(s3: Any, bucket: str, model_id: str, version: str, artifact: Artifact) -> StoredArtifact:
    """Write the artifact to the models bucket, where nothing or the same bytes are stored.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    key = layout.artifact_key(model_id, version)
    for number in range(_TRIES):
        # Uploading a small artifact takes less time than asking whether there is one.
        is_asked = number > 0 or artifact.size > _ASKED_FROM_BYTES
        found = _find_equal(s3, bucket, key, artifact) if is_asked else None
        if artifact.size > _SINGLE_REQUEST_BYTES:
            if found is None:
                metadata = {_SHA256_METADATA: artifact.sha256}
                s3.upload_file(str(artifact.path), bucket, key, ExtraArgs={"Metadata": metadata})
            return StoredArtifact(bucket, key, "")
        try:
            answer = _upload(s3, bucket, key, artifact) if found is None else _copy(s3, bucket, key, artifact, found)
        except ClientError as error:
            # Another registration wrote or removed the object meanwhile, or an answer of S3 was
            # lost.
            if error_code(error) not in _PRECONDITION_FAILED | _NOT_FOUND:
                raise
            continue
        return StoredArtifact(bucket, key, answer.get("VersionId") or "")
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


def _upload(s3: Any, bucket: str, key: str, artifact: Artifact) -> Mapping[str, Any]:
    checksum = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    with artifact.path.open("rb") as file:
        body = file.read() if artifact.size <= _ASKED_FROM_BYTES else file
        answer: Mapping[str, Any] = s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            Metadata={_SHA256_METADATA: artifact.sha256},
            ChecksumSHA256=checksum,
            IfNoneMatch="*",
        )
    return answer


def _copy(s3: Any, bucket: str, key: str, artifact: Artifact, found: Mapping[str, Any]) -> Mapping[str, Any]:
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
        Metadata={_SHA256_METADATA: artifact.sha256},
    )
    return answer


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
