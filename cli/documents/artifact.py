"""A model's artifact: reading and validating it."""

import hashlib
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import error_code
from contract import layout
from contract.archives import unpack
from contract.problems import Problem
from contract.tar_members import ArchiveError

_SHOWN_MEMBERS = 10


@dataclass(frozen=True)
class Artifact:
    """A model.tar.gz on this machine; the SHA-256 is in lower-case hex."""

    path: Path
    sha256: str
    size: int


@contextmanager
def fetch_artifact(source: str, folder: Path, s3: Any) -> Iterator[tuple[Path | None, list[Problem]]]:
    """Provide the artifact as a local file inside the context, or the reason why there is none.

    `source` is a path relative to `folder`, or an s3:// address. An object in S3 is downloaded, so
    that the bytes that are validated are the bytes that are stored.
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
            if error_code(error) not in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
                raise
            yield None, [Problem("artifact", source, "an object that exists")]
            return
        yield target, []


def unreadable_artifact(path: Path, error: Exception) -> Problem:
    return Problem("artifact", str(path), f"a gzip-compressed tar archive of plain files ({error})")


def lacks_room(artifact: Path | str, why: object) -> Problem:
    expected = f"an artifact that can be unpacked below {tempfile.gettempdir()} ({why})"
    return Problem("artifact", str(artifact), expected, "Set TMPDIR to a folder with more room.")


def unpack_artifact(path: Path, folder: Path, model_file: str) -> list[Problem]:
    """Unpack an artifact into a new folder; return its problems, such as no file of the model.

    Raises:
        NoRoomError: when the disk is too small.
    """
    try:
        files = unpack(path, folder)
    except ArchiveError as error:
        return [unreadable_artifact(path, error)]
    return check_model_file(model_file, files)


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
