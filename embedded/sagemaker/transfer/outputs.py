"""Outputs of a job: upload of its output folders to S3."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from embedded.faults import CorruptUpload, FailUpload, Faults, SlowUpload
from embedded.faults.job_faults import UploadFault
from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.transfer.inputs import error_text, split_s3_uri
from embedded.sagemaker.transfer.job_files import (
    PathTooLongError,
    Signature,
    empty_folder,
    files_below,
    folder_signature,
    open_file,
)

_MULTIPART_BYTES = 64 << 20
_SHOWN_CHARACTERS = 100
_GROWTH, _LARGEST_GROWTH = 1.5, 5
"""Factor of the interval after each look that finds no change, and the largest multiple of the first interval."""
_SAME_MOMENT_NS = 100_000_000
"""Age from which a folder's time is certain to change with its next file, in nanoseconds.

File systems may take times from a clock that ticks every few milliseconds."""
_U = TypeVar("_U", bound=UploadFault)


@dataclass(frozen=True)
class OutputFolder:
    """A folder below the /opt/ml of one instance, `root`, and the S3 prefix it is uploaded to."""

    root: Path
    path: Path
    s3_uri: str
    is_continuous: bool


class Uploader:
    """Uploads files with a job role's client, encrypted with `kms_key_id` if given.

    `wait` blocks for some seconds; faults that slow uploads call it.
    """

    def __init__(
        self,
        s3: Any,
        *,
        role_arn: str,
        kms_key_id: str | None = None,
        may_use_key: Callable[[], bool] = lambda: True,
        faults: Faults | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._role_arn = role_arn
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._may_use_key = may_use_key
        self._faults = faults
        self._wait = wait
        self._failing: set[str] = set()

    def put(self, file: BinaryIO, uri: str) -> None:
        """Upload one file.

        Raises:
            JobFailure: The upload was refused or failed.
        """
        bucket, key = split_s3_uri(uri)
        if self._encryption and not self._may_use_key():
            raise self._failure(uri, f"the key {self._encryption['SSEKMSKeyId']} may not be used")
        size = os.fstat(file.fileno()).st_size
        if slow := self._fault(SlowUpload, key):
            self._wait(slow.seconds)
        if key in self._failing or self._fault(FailUpload, key):
            self._failing.add(key)
            raise self._failure(uri, "InternalError: We encountered an internal error. Please try again")
        try:
            if size and self._fault(CorruptUpload, key):
                with tempfile.TemporaryFile() as changed:
                    _copy_with_a_changed_byte(file, changed, size // 2)
                    self._send(changed, size, bucket, key)
            else:
                self._send(file, size, bucket, key)
        except (ClientError, BotoCoreError) as error:
            raise self._failure(uri, error_text(error)) from error

    def _fault(self, kind: type[_U], key: str) -> _U | None:
        if self._faults is None:
            return None
        return self._faults.strike(kind, f"upload of {key}", lambda each: each.concerns(key))

    def _send(self, file: BinaryIO, size: int, bucket: str, key: str) -> None:
        if size > _MULTIPART_BYTES:
            self._s3.upload_fileobj(file, bucket, key, ExtraArgs=self._encryption)
        else:
            self._s3.put_object(Bucket=bucket, Key=key, Body=file, **self._encryption)

    def _failure(self, uri: str, why: str) -> JobFailure:
        return JobFailure(
            f"ClientError: Failed to upload data. PutObject failed for {uri}: {why}. Please ensure that the bucket "
            f'exists and that the role "{self._role_arn}" has "s3:PutObject" permissions on it and may use its key.'
        )


def _copy_with_a_changed_byte(source: BinaryIO, target: BinaryIO, position: int) -> None:
    shutil.copyfileobj(source, target)
    target.seek(position)
    changed = target.read(1)[0] ^ 0xFF
    target.seek(position)
    target.write(bytes([changed]))
    target.seek(0)


def join_s3_uri(uri: str, relative: str) -> str:
    """Return the URI of a relative path below an S3 prefix.

    A prefix that ends in a slash leads to a key with two. AWS documents only prefixes without one.

    >>> join_s3_uri("s3://bucket/models", "a/model.tar.gz")
    's3://bucket/models/a/model.tar.gz'
    >>> join_s3_uri("s3://bucket/models/", "a/model.tar.gz")
    's3://bucket/models//a/model.tar.gz'
    """
    bucket, prefix = split_s3_uri(uri)
    return f"s3://{bucket}/{prefix}/{relative}" if prefix else f"s3://{bucket}/{relative}"


class OutputUpload:
    """Uploads the files of output folders, and uploads a file again when it has changed.

    While the job runs, a file counts as complete when two checks in a row find the same size,
    modification time and inode. As on AWS, links are not followed.
    """

    def __init__(self, uploader: Uploader, folders: Sequence[OutputFolder], *, pool: Executor) -> None:
        self._uploader = uploader
        self._folders = folders
        self._pool = pool
        self._seen: dict[Path, Signature] = {}
        self._uploaded: dict[Path, Signature] = {}
        self._empty: dict[Path, Signature] = {}
        self._lost: set[Path] = set()
        self._running: list[Future[None]] = []
        self._seconds = 0.0
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self.count = 0
        """Number of uploads so far."""

    def mark_existing_as_uploaded(self) -> None:
        """Treat the files that are in the folders now, such as checkpoints, as uploaded."""
        with self._lock:
            for folder in self._folders:
                self._uploaded.update(files_below(folder.root, folder.path))

    def lose(self, root: Path) -> None:
        """Upload nothing more from the instance with this root: its machine is gone."""
        self._lost.add(root)

    def look(self, interval_seconds: float) -> float:
        """Start to upload complete files of the Continuous folders. Return the seconds until the next look.

        The interval grows while the files do not change. Errors are ignored, because `finish` tries the upload again.
        """
        with self._lock:
            if not all(upload.done() for upload in self._running):
                return interval_seconds
            self._await_uploads()
            before = dict(self._seen)
            continuous = [folder for folder in self._folders if folder.is_continuous]
            self._start_uploads(continuous, is_final=False)
            is_calm = self._seen == before
            slower = min(self._seconds * _GROWTH, interval_seconds * _LARGEST_GROWTH)
            self._seconds = slower if is_calm and self._seconds else interval_seconds
            return self._seconds

    def finish(self, *, only_continuous: bool) -> None:
        """Upload all files that are not in S3 yet.

        Raises:
            JobFailure: A file cannot be uploaded; the first such file is named.
        """
        folders = [folder for folder in self._folders if folder.is_continuous or not only_continuous]
        with self._lock:
            self._await_uploads()
            errors: list[BaseException] = [*self._start_uploads(folders, is_final=True)]
            # The job may have removed a file meanwhile.
            errors += [error for error in self._await_uploads() if not isinstance(error, FileNotFoundError)]
        if errors:
            raise errors[0]

    def _start_uploads(self, folders: Sequence[OutputFolder], *, is_final: bool) -> list[JobFailure]:
        errors = []
        for folder in folders:
            if folder.root in self._lost:
                continue
            try:
                found = list(files_below(folder.root, folder.path)) if is_final else self._files_of(folder)
            except PathTooLongError as error:
                shown = Path(str(error.filename)).relative_to(folder.path).as_posix()
                errors.append(
                    JobFailure(
                        f"ClientError: Failed to upload data. The path {shown[:_SHOWN_CHARACTERS]}… is longer than "
                        f"a key of S3 can be: write files with shorter paths to the output of {folder.s3_uri}"
                    )
                )
                continue
            for path, signature in found:
                if self._uploaded.get(path) == signature:
                    continue
                if is_final or self._seen.get(path) == signature:
                    self._running.append(self._pool.submit(self._upload, folder, path, signature))
                self._seen[path] = signature
        return errors

    def _files_of(self, folder: OutputFolder) -> list[tuple[Path, Signature]]:
        """Return the files of a folder. Most folders are empty while a job runs: those are not read again."""
        if (known := self._empty.get(folder.path)) is not None and known == folder_signature(folder.path):
            return []
        state = empty_folder(folder.root, folder.path)
        if state is None:
            self._empty.pop(folder.path, None)
            return list(files_below(folder.root, folder.path))
        # A file that appears in the same tick of the clock does not change the folder's time.
        if time.time_ns() - state[1] > _SAME_MOMENT_NS:
            self._empty[folder.path] = state
        return []

    def _await_uploads(self) -> list[BaseException]:
        """Wait for the uploads that were started, and return the errors of those that failed."""
        uploads, self._running = self._running, []
        return [error for upload in uploads if (error := upload.exception()) is not None]

    def _upload(self, folder: OutputFolder, path: Path, signature: Signature) -> None:
        with open_file(folder.root, path) as file:
            self._uploader.put(file, join_s3_uri(folder.s3_uri, path.relative_to(folder.path).as_posix()))
        with self._counting:
            self._uploaded[path] = signature
            self.count += 1
