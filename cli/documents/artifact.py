"""A model's artifact: reading, validating and storing it."""

import base64
import hashlib
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError
from contract import layout
from contract.archives import list_files
from contract.problems import Problem
from contract.tar_members import ArchiveError

_SHA256_METADATA = "sha256"
_SINGLE_PUT_BYTES = 5 * 1024**3
"""Largest object that one PutObject takes, in bytes."""
_SHOWN_MEMBERS = 10


class ArtifactTakenError(CommandError):
    """Another artifact is stored under this name; an artifact is never overwritten."""


@dataclass(frozen=True)
class Artifact:
    """A model.tar.gz on this machine; the SHA-256 is in lower-case hex."""

    path: Path
    sha256: str
    size: int


@contextmanager
def fetch_artifact(source: str, folder: Path, s3: Any) -> Iterator[tuple[Path | None, list[Problem]]]:
    """Provide the artifact as a local file inside the context, or the reason why there is none.

    `source` is a path relative to `folder`, or an s3:// address. An object in S3 is downloaded, so that the bytes that
    are validated are the bytes that are stored.
    """
    if not source.startswith("s3://"):
        path = folder / Path(source).expanduser()
        yield (path, []) if path.is_file() else (None, [Problem("artifact", str(path), "a file that exists")])
        return
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        yield None, [Problem("artifact", source, "s3://<bucket>/<key> of one object")]
        return
    with tempfile.TemporaryDirectory(prefix="fleetscore-") as temporary:
        target = Path(temporary) / layout.ARTIFACT_NAME
        try:
            s3.download_file(bucket, key, str(target))
        except ClientError as error:
            if _code(error) not in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
                raise
            yield None, [Problem("artifact", source, "an object that exists")]
            return
        yield target, []


def inspect_artifact(path: Path, model_file: str) -> list[Problem]:
    """Return the problems of an archive that should hold `model_file`. The whole archive is read, to find damage."""
    try:
        files = list(list_files(path))
    except (ArchiveError, OSError) as error:
        return [unreadable_artifact(path, error)]
    return check_model_file(model_file, files)


def unreadable_artifact(path: Path, error: Exception) -> Problem:
    return Problem("artifact", str(path), f"a gzip-compressed tar archive of plain files ({error})")


def check_model_file(model_file: str, names: Sequence[str]) -> list[Problem]:
    """Check that an artifact with these files has the model's file."""
    if posixpath.normpath(model_file) in names:
        return []
    listed = ", ".join(names[:_SHOWN_MEMBERS]) + (", …" if len(names) > _SHOWN_MEMBERS else "")
    return [
        Problem("model_file", model_file, f"the path of a file in the artifact, which holds: {listed or 'nothing'}")
    ]


def hash_artifact(path: Path) -> Artifact:
    with path.open("rb") as file:
        return Artifact(path, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def store_artifact(s3: Any, bucket: str, model_id: str, version: str, artifact: Artifact) -> str:
    """Upload the artifact to the models bucket, unless the same bytes are there, and return its address.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    key = layout.artifact_key(model_id, version)
    address = layout.s3_uri(bucket, key)
    if not _is_free(s3, bucket, key, artifact, address):
        return address
    metadata = {_SHA256_METADATA: artifact.sha256}
    if artifact.size > _SINGLE_PUT_BYTES:
        s3.upload_file(str(artifact.path), bucket, key, ExtraArgs={"Metadata": metadata})
        return address
    checksum = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    try:
        with artifact.path.open("rb") as file:
            s3.put_object(
                Bucket=bucket, Key=key, Body=file, Metadata=metadata, ChecksumSHA256=checksum, IfNoneMatch="*"
            )
    except ClientError as error:
        if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
            raise
        raise ArtifactTakenError(f"Somebody else has just written {address}. Try again.") from error
    return address


def check_key_is_free(s3: Any, bucket: str, model_id: str, version: str, artifact: Artifact) -> None:
    """Check that no other artifact is stored as this version.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    key = layout.artifact_key(model_id, version)
    _is_free(s3, bucket, key, artifact, layout.s3_uri(bucket, key))


def _is_free(s3: Any, bucket: str, key: str, artifact: Artifact, address: str) -> bool:
    """Return True when nothing is stored there, False when the same bytes are.

    Raises:
        ArtifactTakenError: when other bytes are stored there.
    """
    try:
        stored = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) in ("404", "NoSuchKey", "NotFound"):
            return True
        raise
    digest = stored.get("Metadata", {}).get(_SHA256_METADATA) or _download_digest(s3, bucket, key)
    if digest == artifact.sha256:
        return False
    raise ArtifactTakenError(
        f"{address} already holds another artifact (SHA-256 {digest[:12]}…, yours is {artifact.sha256[:12]}…), and "
        "an artifact is never overwritten. Choose another --version, or leave it out to get the next free number."
    )


def _download_digest(s3: Any, bucket: str, key: str) -> str:
    digest = hashlib.sha256()
    for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1024 * 1024):
        digest.update(chunk)
    return digest.hexdigest()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
