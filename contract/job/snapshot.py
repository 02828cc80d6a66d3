"""The snapshot of a dataset: its objects as the plan pinned them, in one file for all jobs of an
execution. A part of a split job has a snapshot of its own objects, which such parts of other jobs
share.

The file is ASCII text with one JSON value per line: first the `SnapshotHeader`, then
`[key, size, etag]` for each object. A million objects are written or read in seconds.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from contract import codec
from contract.job.scoring_spec import PinnedObject, SnapshotRef
from contract.problems import InvalidInputError, Problem

_LINES_AT_ONCE = 4_096
"""Lines that are parsed as one list, four times as fast as one by one."""
_encode = json.JSONEncoder(separators=(",", ":")).encode
"""Returns ASCII text, so that any key is safe to print."""


@dataclass(frozen=True)
class SnapshotHeader:
    """First line of a snapshot's file."""

    dataset: str
    dataset_bucket: str
    objects: int
    """Number of objects."""
    bytes: int
    """Sum of the objects' sizes."""


@dataclass(frozen=True)
class Snapshot:
    """The objects of a dataset as the plan pinned them, in the order of the listing."""

    dataset: str
    dataset_bucket: str
    objects: tuple[PinnedObject, ...]
    part: str = ""
    """Name of the part that has only these objects, such as "part-2-of-3"; empty for the whole."""

    @cached_property
    def total_bytes(self) -> int:
        """Sum of the objects' sizes."""
        return sum(item.size for item in self.objects)

    def text(self) -> bytes:
        """Return the content of the snapshot's file; the same objects give the same bytes.

        Raises:
            InvalidInputError: when two objects have the same key.
        """
        if len({item.key for item in self.objects}) != len(self.objects):
            found = f"{len(self.objects):,} objects"
            raise InvalidInputError("snapshot", [Problem("objects", found, "each key once")])
        header = SnapshotHeader(self.dataset, self.dataset_bucket, len(self.objects), self.total_bytes)
        text = io.BytesIO()
        text.write(f"{codec.dumps(header)}\n".encode())
        for item in self.objects:
            text.write(f"{_encode((item.key, item.size, item.etag))}\n".encode())
        return text.getvalue()

    def write(self, path: Path) -> SnapshotRef:
        """Write the file where a container on this machine finds it, and return its reference."""
        text = self.text()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        return self.ref(path.as_uri(), text)

    def ref(self, uri: str, text: bytes) -> SnapshotRef:
        """Return the reference to the file at this URI, whose content is `text`."""
        return SnapshotRef(uri, hashlib.sha256(text).hexdigest(), len(self.objects), self.total_bytes)


def read_snapshot(file: io.BufferedIOBase, ref: SnapshotRef) -> Iterator[PinnedObject]:
    """Return an iterator over the objects of a snapshot, after comparing its digest.

    Raises:
        InvalidInputError: when the file is not the one that the plan wrote, or comes from another
            release.
    """
    subject = f"snapshot {ref.uri}"
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != ref.sha256:
        remedy = "The file was replaced after the plan wrote it: find out by whom, and start a new execution."
        raise InvalidInputError(subject, [Problem("SHA-256", digest, ref.sha256, remedy)])
    file.seek(0)
    return read_trusted_snapshot(file, subject)


def read_trusted_snapshot(file: io.BufferedIOBase, subject: str = "snapshot") -> Iterator[PinnedObject]:
    """Return an iterator over the objects of a snapshot whose file nobody but the plan can write.

    Raises:
        InvalidInputError: when the file comes from another release.
    """
    codec.loads(SnapshotHeader, file.readline(), subject=subject)
    return _read_objects(file)


def _read_objects(file: io.BufferedIOBase) -> Iterator[PinnedObject]:
    while lines := list(islice(file, _LINES_AT_ONCE)):
        # The digest proves that the plan wrote these lines, so no limits of size or depth are
        # needed.
        for key, size, etag in json.loads(b"[" + b",".join(lines) + b"]"):
            yield PinnedObject(key, size, etag)
