"""Uploads files into the datasets bucket: in parallel, with checksums, and never over other bytes by accident."""

import base64
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from cli.documents.dataset_files import DatasetFile
from cli.failures import CommandError, error_code
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, stack_outputs
from contract import layout
from contract.triggers.uploads import MARKER_NAME, UploadRule, rule_of

PART_BYTES = 16 << 20
"""Size of a part of a large object, in bytes, unless it would have too many parts."""
SINGLE_REQUEST_BYTES = 64 << 20
"""Largest file that is sent in one request, in bytes."""
_MAX_PARTS = 10_000
_THREADS = 16
_MEMORY_BYTES = 512 << 20
"""Largest sum of the parts that are in memory at a time, in bytes."""
_BLOCK_BYTES = 1 << 20
_SHA256 = "sha256"
"""Metadata of an object with the SHA-256 of its content, as hexadecimal digits."""
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_CHANGED = frozenset({"BadDigest", "IncompleteBody", "InvalidRequest", "XAmzContentChecksumMismatch"})
_UNKNOWN = frozenset({"403", "AccessDenied", "404", "NoSuchKey"})


@dataclass(frozen=True)
class UploadStart:
    """What an upload into a dataset starts."""

    known: bool
    """Whether the stage says it; a stack of an earlier release does not."""
    rule: UploadRule | None = None
    """The dataset's rule in the setting `uploads`, without its request; None if there is none."""


@dataclass(frozen=True)
class Comparison:
    """Files by what S3 has under their keys."""

    new: tuple[DatasetFile, ...]
    equal: tuple[DatasetFile, ...]
    different: tuple[DatasetFile, ...]
    """Files whose object has other content, or content that cannot be compared."""


@dataclass(frozen=True)
class _Digest:
    sha256: str
    crc32: str
    """In base64, as S3 writes it."""


class UploadInterruptedError(Exception):
    """An upload ended early. `done` has the keys that are in S3."""

    def __init__(self, done: Sequence[str], cause: BaseException) -> None:
        super().__init__(str(cause))
        self.done = done
        self.cause = cause


class DatasetUpload:
    """Uploads files into one dataset."""

    def __init__(self, connection: Connection, deployment: Deployment, dataset: str) -> None:
        self._s3 = connection.client("s3")
        self._bucket = deployment.datasets_bucket
        self._prefix = layout.dataset_prefix(dataset)
        self._stop = threading.Event()

    @property
    def address(self) -> str:
        return layout.s3_uri(self._bucket, self._prefix)

    def compare(self, files: Sequence[DatasetFile]) -> Comparison:
        """Compare files with the objects under their keys. Only files of equal size are read."""
        stored = self._sizes(files)
        alike = [file for file in files if stored.get(file.key) == file.size]
        with ThreadPoolExecutor(_THREADS) as pool:
            equal = {file.key for file, same in zip(alike, pool.map(self._is_equal, alike), strict=True) if same}
        return Comparison(
            new=tuple(file for file in files if file.key not in stored),
            equal=tuple(file for file in files if file.key in equal),
            different=tuple(file for file in files if file.key in stored and file.key not in equal),
        )

    def send(
        self, files: Sequence[DatasetFile], *, overwrite: bool, sent: Callable[[int], None] = lambda _: None
    ) -> None:
        """Upload files. Without `overwrite`, an object that exists meanwhile is not replaced.

        `sent` is called with numbers of bytes that S3 has, by several threads.

        Raises:
            UploadInterruptedError: when a file could not be sent, or on Ctrl-C.
        """
        done: list[str] = []
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        small = [file for file in files if file.size <= SINGLE_REQUEST_BYTES]
        pool = ThreadPoolExecutor(_THREADS)
        try:
            waiting = {pool.submit(self._send_small, file, condition, sent): file for file in small}
            for ended in as_completed(waiting):
                ended.result()
                done.append(waiting[ended].key)
            for file in files:
                if file.size > SINGLE_REQUEST_BYTES:
                    self._send_large(file, condition, pool, sent)
                    done.append(file.key)
        except BaseException as error:
            self._stop.set()
            # Requests that are under way end first, so that `done` is right.
            pool.shutdown(cancel_futures=True)
            done = [file.key for task, file in waiting.items() if task.done() and not _failed(task)] + [
                key for key in done if key not in {file.key for file in small}
            ]
            raise UploadInterruptedError(done, error) from error
        finally:
            pool.shutdown()

    def mark_ready(self, folder: str) -> str:
        """Write the marker of a complete upload, and return its key relative to the dataset."""
        key = f"{folder.strip('/')}/{MARKER_NAME}".lstrip("/")
        self._s3.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=b"")
        return key

    def _sizes(self, files: Sequence[DatasetFile]) -> dict[str, int]:
        """Return the sizes of the objects below the files' common folder, by key."""
        common = files[0].key if len(files) == 1 else _common_folder(file.key for file in files)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + common)
        return {
            str(entry["Key"]).removeprefix(self._prefix): int(entry["Size"])
            for page in pages
            for entry in page.get("Contents", ())
        }

    def _is_equal(self, file: DatasetFile) -> bool:
        """Return whether the object is known to have the file's content."""
        try:
            found = self._s3.head_object(Bucket=self._bucket, Key=self._prefix + file.key, ChecksumMode="ENABLED")
        except ClientError as error:
            # Without s3:GetObject nobody may know it.
            if error_code(error) in _UNKNOWN:
                return False
            raise
        digest = _digest(file)
        if stored := found.get("Metadata", {}).get(_SHA256):
            return bool(stored == digest.sha256)
        whole = found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        sha256, crc32 = found.get("ChecksumSHA256"), found.get("ChecksumCRC32")
        return bool(whole) and (sha256 == _base64(digest.sha256) or crc32 == digest.crc32)

    def _send_small(self, file: DatasetFile, condition: Mapping[str, str], sent: Callable[[int], None]) -> None:
        if self._stop.is_set():
            raise CommandError("stopped")
        with self._refusals_of(file), file.path.open("rb") as body:
            digest = _digest(file)
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + file.key,
                Body=body,
                Metadata={_SHA256: digest.sha256},
                ChecksumSHA256=_base64(digest.sha256),
                **condition,
            )
        sent(file.size)

    def _send_large(
        self, file: DatasetFile, condition: Mapping[str, str], pool: ThreadPoolExecutor, sent: Callable[[int], None]
    ) -> None:
        """Upload a file in parts, each with a checksum, and join them if the file did not change meanwhile."""
        before = file.path.stat()
        place = {"Bucket": self._bucket, "Key": self._prefix + file.key}
        metadata = {_SHA256: _digest(file).sha256}
        started = self._s3.create_multipart_upload(**place, Metadata=metadata, ChecksumAlgorithm="SHA256")
        place["UploadId"] = started["UploadId"]
        size = max(PART_BYTES, -(-file.size // _MAX_PARTS))
        slots = threading.Semaphore(max(1, min(_THREADS, _MEMORY_BYTES // size)))

        def send_part(number: int) -> dict[str, Any]:
            with slots:
                if self._stop.is_set():
                    raise CommandError("stopped")
                with file.path.open("rb") as content:
                    content.seek((number - 1) * size)
                    part = content.read(size)
                answer = self._s3.upload_part(**place, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256")
            sent(len(part))
            return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]}

        tasks = [pool.submit(send_part, number) for number in range(1, -(-file.size // size) + 1)]
        try:
            with self._refusals_of(file):
                parts = {"Parts": [task.result() for task in tasks]}
                after = file.path.stat()
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise _changed(file)
                self._s3.complete_multipart_upload(**place, MultipartUpload=parts, MpuObjectSize=file.size, **condition)
        except BaseException:
            self._stop.set()
            # A part that arrives after the abort would stay in S3, and be billed.
            wait([task for task in tasks if not task.cancel()])
            self._s3.abort_multipart_upload(**place)
            raise

    def _refusals_of(self, file: DatasetFile) -> "_Refusals":
        return _Refusals(file, layout.s3_uri(self._bucket, self._prefix + file.key))


class _Refusals:
    """Context in which refusals of S3 become errors that name the file."""

    def __init__(self, file: DatasetFile, address: str) -> None:
        self._file = file
        self._address = address

    def __enter__(self) -> None:
        """Do nothing: only the end of the context matters."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise CommandError(f"{self._file.path} cannot be read ({error.strerror}).") from error
        if not isinstance(error, ClientError):
            return
        if error_code(error) in _TAKEN:
            raise CommandError(
                f"{self._address} was written by somebody else meanwhile, and was not replaced. "
                "Look at it, then run the command again, with --overwrite to replace it."
            ) from error
        if error_code(error) in _CHANGED:
            raise _changed(self._file) from error


def find_start(connection: Connection, stage: str, dataset: str) -> UploadStart:
    """Return what uploads into a dataset start, by the outputs of the stage's stacks."""
    try:
        outputs = stack_outputs(connection.client("cloudformation"), stage, "triggers", ("UploadRules",))
    except CommandError:
        return UploadStart(known=False)
    return UploadStart(known=True, rule=rule_of(dataset, outputs["UploadRules"]))


def _changed(file: DatasetFile) -> CommandError:
    return CommandError(
        f"{file.path} changed while it was uploaded, so it is not in the dataset. "
        "Run the command again when the file is complete."
    )


def _failed(task: Any) -> bool:
    return bool(task.cancelled() or task.exception() is not None)


def _digest(file: DatasetFile) -> _Digest:
    sha256, crc32 = hashlib.sha256(), 0
    with file.path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            sha256.update(block)
            crc32 = zlib.crc32(block, crc32)
    return _Digest(sha256.hexdigest(), base64.b64encode(crc32.to_bytes(4, "big")).decode())


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _common_folder(keys: Iterable[str]) -> str:
    """Return the folder that all keys share, empty or ending in a slash.

    >>> _common_folder(["day=1/a.csv", "day=1/b.csv"]), _common_folder(["a.csv", "day=1/b.csv"])
    ('day=1/', '')
    """
    folders = [key.split("/")[:-1] for key in keys]
    shared = 0
    while all(len(folder) > shared and folder[shared] == folders[0][shared] for folder in folders):
        shared += 1
    return "".join(f"{part}/" for part in folders[0][:shared])
