"""Copies inputs from S3, and outputs to S3 in the order that the contract asks for."""

import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract import layout

_THREADS = 16
_CHUNK_BYTES = 1 << 20
_REPLACED = "PreconditionFailed"

Input = tuple[str, str, Path, str]
"""Bucket, key, file, and the ETag that the object must have; empty for any."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an address in S3.

    >>> split_uri("s3://results/executions/nightly/jobs/churn/job.json")
    ('results', 'executions/nightly/jobs/churn/job.json')
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def fetch(s3: Any, bucket: str, key: str, path: Path, etag: str = "") -> None:
    """Copy an object to a file.

    Raises:
        RuntimeError: when the object has another ETag.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, **({"IfMatch": f'"{etag}"'} if etag else {}))
    except ClientError as error:
        if error.response["Error"]["Code"] in (_REPLACED, "412"):
            raise RuntimeError(
                f"s3://{bucket}/{key} was replaced after the execution was planned: start a new execution"
            ) from error
        raise
    with path.open("wb") as file:
        shutil.copyfileobj(answer["Body"], file, _CHUNK_BYTES)


def fetch_all(s3: Any, inputs: Iterable[Input]) -> None:
    """Copy objects to files, several at a time."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda item: fetch(s3, *item), inputs))


class Uploads:
    """Copies the container's files to S3. Files that were copied and have not changed are skipped."""

    def __init__(self, s3: Any, bucket: str, outputs: Mapping[Path, str], ledger: Path, ledger_prefix: str) -> None:
        """Upload files below the folders of `outputs` to the prefix of each."""
        self._s3, self._bucket = s3, bucket
        self._outputs, self._ledger, self._ledger_prefix = outputs, ledger, ledger_prefix
        self._sent: set[tuple[Path, int]] = set()

    def send(self) -> None:
        """Upload what is new: outputs first, then the segments of the ledger that name them.

        Segments are listed before the outputs. All outputs of a listed segment are therefore found and
        uploaded before it, so whoever reads a commit in S3 finds its files there.
        """
        segments = [(path, self._ledger_prefix + path.name) for path in sorted(self._ledger.iterdir())]
        outputs = [
            (path, prefix + path.relative_to(folder).as_posix())
            for folder, prefix in self._outputs.items()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and layout.finished_key(path.name) is None
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._send, outputs))
        for segment in segments:
            if layout.commits_in_segment(segment[0].name) is not None:
                self._send(segment)

    def _send(self, item: tuple[Path, str]) -> None:
        path, key = item
        state = (path, path.stat().st_mtime_ns)
        if state not in self._sent:
            # The checksum of the ledger, so that verification need not read the object.
            self._s3.upload_file(str(path), self._bucket, key, ExtraArgs={"ChecksumAlgorithm": "CRC64NVME"})
            self._sent.add(state)
