"""Inputs of a job: listing, sharding and download of their objects."""

from __future__ import annotations

import errno
import json
import posixpath
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.instances.settings import ManifestLayout

_CHUNK_BYTES = 1 << 20


class DownloadAborted(Exception):  # noqa: N818 - a stop is not an error
    """The job was stopped while its inputs were downloaded."""


@dataclass(frozen=True)
class RemoteObject:
    """An object of an input. `relative` is its path below the input's local path."""

    bucket: str
    key: str
    relative: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key or prefix of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def list_input(
    s3: Any, s3_input: dict[str, Any], role_arn: str, layout: ManifestLayout = "relative"
) -> list[RemoteObject]:
    """Return all objects of an input, sorted by key.

    Raises:
        JobFailure: The objects cannot be listed, there are none, or a key would leave the input's
            folder or has two slashes.
    """
    if s3_input["S3DataType"] == "ManifestFile":
        objects = _safe(_manifest_objects(s3, s3_input["S3Uri"], role_arn, layout))
    else:
        objects = list_prefix(s3, s3_input["S3Uri"], role_arn)
    if not objects:
        bucket, _ = split_s3_uri(s3_input["S3Uri"])
        raise JobFailure(
            f'ClientError: Failed to download data. No S3 objects found under S3 URL "{s3_input["S3Uri"]}" given in '
            "input data source. Please ensure that the bucket exists in the selected region, that objects exist under "
            f'that S3 prefix, and that the role "{role_arn}" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )
    return objects


def list_prefix(s3: Any, uri: str, role_arn: str) -> list[RemoteObject]:
    """Return all objects below a prefix, sorted by key; empty if there are none.

    Raises:
        JobFailure: The objects cannot be listed, or a key would leave the input's folder or has two
            slashes.
    """
    return _safe(_prefix_objects(s3, uri, role_arn))


def _safe(objects: list[RemoteObject]) -> list[RemoteObject]:
    # As SageMaker says it: https://github.com/aws-samples/generative-ai-on-amazon-sagemaker/pull/242
    slashes = [item.uri for item in objects if "//" in item.key]
    if slashes:
        raise JobFailure(
            f"ClientError: Data download failed:Failed to download data. S3 key: {slashes[0]} has an illegal char "
            "sub-sequence '//' in it"
        )
    outside = [item.uri for item in objects if not _is_inside(item.relative)]
    if outside:
        raise JobFailure(
            f"ClientError: Failed to download data. {outside[0]} would be outside of the input's folder: "
            "remove '..' from its key"
        )
    return sorted(objects, key=lambda item: item.key)


def shard(objects: Sequence[RemoteObject], instances: int, index: int, distribution: str) -> list[RemoteObject]:
    """Return the objects for one instance: all of them, or every n-th with ShardedByS3Key.

    >>> shard(["a", "b", "c"], instances=2, index=0, distribution="ShardedByS3Key")
    ['a', 'c']
    """
    return list(objects) if distribution == "FullyReplicated" else list(objects[index::instances])


def _is_inside(relative: str) -> bool:
    return (
        bool(relative) and not posixpath.normpath(relative).startswith(("../", "/")) and ".." not in relative.split("/")
    )


def _prefix_objects(s3: Any, uri: str, role_arn: str) -> list[RemoteObject]:
    bucket, prefix = split_s3_uri(uri)
    objects = []
    try:
        for key in _keys(s3, bucket, prefix):
            relative = _below_prefix(key, prefix)
            if relative:  # skip the empty object that marks the prefix itself as a folder
                objects.append(RemoteObject(bucket, key, relative))
    except (ClientError, BotoCoreError) as error:
        raise _download_failure("ListObjectsV2", uri, error, "s3:ListBucket", role_arn) from error
    return objects


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **token)
        yield from (entry["Key"] for entry in page.get("Contents", []))
        if "NextContinuationToken" not in page:
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _below_prefix(key: str, prefix: str) -> str:
    if key == prefix:
        return "" if key.endswith("/") else posixpath.basename(key)
    rest = key[len(prefix) :]
    if not prefix or prefix.endswith("/") or rest.startswith("/"):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]  # the prefix ends within a name, which is kept whole


def _manifest_objects(s3: Any, uri: str, role_arn: str, layout: ManifestLayout) -> list[RemoteObject]:
    bucket, key = split_s3_uri(uri)
    try:
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise _download_failure("GetObject", uri, error, "s3:GetObject", role_arn) from error
    try:
        return parse_manifest(text, layout)
    except ValueError as error:
        raise JobFailure(f"ClientError: Failed to download data. The manifest {uri} is not valid: {error}") from error


def parse_manifest(text: bytes, layout: ManifestLayout = "relative") -> list[RemoteObject]:
    """Return the objects of a manifest: `[{"prefix": "s3://bucket/path/"}, "key-a", ...]`.

    Raises:
        ValueError: The manifest is not valid.
    """
    entries = json.loads(text)
    if not isinstance(entries, list) or not entries:
        raise ValueError("it must be a JSON list that begins with an object with the member 'prefix'")
    head, *names = entries
    prefix_uri = head.get("prefix") if isinstance(head, dict) and set(head) == {"prefix"} else None
    if not isinstance(prefix_uri, str) or not prefix_uri.startswith("s3://") or not split_s3_uri(prefix_uri)[0]:
        raise ValueError(f'the first entry must be {{"prefix": "s3://<bucket>/<path>"}}, not {json.dumps(head)}')
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise ValueError(f"every entry after the first must be a non-empty text, not {json.dumps(wrong[0])}")
    bucket, prefix = split_s3_uri(prefix_uri)
    start = prefix if layout == "full-key" else ""
    return [RemoteObject(bucket, prefix + name, f"{start}{name}".lstrip("/")) for name in names]


def download(
    s3: Any,
    folders: Sequence[tuple[Path, Sequence[RemoteObject]]],
    *,
    role_arn: str,
    pool: Executor,
    stop: threading.Event,
) -> None:
    """Download objects into folders. An object that several folders need is downloaded once.

    Raises:
        JobFailure: An object cannot be downloaded; the remaining ones are skipped.
        DownloadAborted: `stop` was set.
    """
    places: dict[RemoteObject, list[Path]] = {}
    for folder, objects in folders:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        for item in objects:
            places.setdefault(item, []).append(folder / item.relative)
    failed = threading.Event()

    def fetch(item: RemoteObject, targets: list[Path]) -> None:
        if stop.is_set():
            raise DownloadAborted
        if failed.is_set():
            return
        try:
            _fetch(s3, item, targets, role_arn)
        except JobFailure:
            failed.set()
            raise

    futures = [pool.submit(fetch, item, targets) for item, targets in places.items()]
    errors = [error for error in [future.exception() for future in futures] if error is not None]
    if errors:
        raise errors[0]


def _fetch(s3: Any, item: RemoteObject, targets: list[Path], role_arn: str) -> None:
    try:
        if item.key.endswith("/"):
            for target in targets:
                target.mkdir(parents=True, exist_ok=True)
            return
        body = s3.get_object(Bucket=item.bucket, Key=item.key)["Body"]
        with _new_file(targets[0]) as file:
            shutil.copyfileobj(body, file, _CHUNK_BYTES)
        for target in targets[1:]:
            with targets[0].open("rb") as source, _new_file(target) as copy:
                shutil.copyfileobj(source, copy, _CHUNK_BYTES)
    except (ClientError, BotoCoreError) as error:
        raise _download_failure("GetObject", item.uri, error, "s3:GetObject", role_arn) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise JobFailure(
            f"ClientError: Failed to download data. Cannot download {item.uri}, a previously downloaded file/folder "
            "clashes with it. Please check your s3 objects and ensure that there is no object that is both a folder as "
            "well as a file."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobFailure("ClientError: Data download failed:Insufficient disk space") from error
        raise JobFailure(f"ClientError: Failed to download data. Cannot write {item.uri}: {error.strerror}") from error


def _new_file(path: Path) -> BinaryIO:
    """Create a file, with its folders if they are missing: the folder of most inputs exists already."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _download_failure(operation: str, uri: str, error: Exception, action: str, role_arn: str) -> JobFailure:
    bucket, _ = split_s3_uri(uri)
    return JobFailure(
        f"ClientError: Failed to download data. {operation} failed for {uri}: {error_text(error)}. Please ensure that "
        f'it exists and that the role "{role_arn}" has "{action}" permissions on bucket "{bucket}".'
    )


def error_text(error: Exception) -> str:
    """Return the text of an AWS client's error as `<code>: <message>`."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        return f"{details.get('Code', 'Unknown')}: {str(details.get('Message', '')).rstrip('.')}"
    return str(error).rstrip(".")
