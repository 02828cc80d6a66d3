"""Downloads complete predictions: all files or none, each as its commit says.

Files go to a folder `<folder>.incomplete`, which gets its name when everything is there. The same
command continues a download that was interrupted.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError, error_code
from contract import codec, layout
from contract.job.ledger import read_segment
from contract.json_text import dump_json
from contract.names import RelativePath
from contract.table.latest_predictions import LatestPredictions

CONTENT_NAME = "_predictions.json"
"""File of a download that says what it has. Readers of tables skip names that begin with '_'."""
_THREADS = 12
_CHUNK_BYTES = 1 << 20
_SHOWN_FILES = 3


@dataclass(frozen=True)
class PredictionsFile:
    """A file of predictions in S3."""

    key: str
    """Key in the results bucket, and path below the downloaded folder."""
    size: int
    """Size in bytes."""
    checksums: frozenset[str] = frozenset()
    """CRC64NVME in Base64 of each commit of this size; empty if no ledger is left.

    An object may have a commit per attempt.
    """


@dataclass
class FoundFiles:
    """The files of some predictions, and what is wrong with them."""

    files: dict[str, PredictionsFile] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    without_ledger: list[str] = field(default_factory=list)
    """Jobs whose ledger has expired: their files are compared with S3's own sizes only."""
    objects: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Keys of the dataset's objects that have a commit, per prefix and model; none without a ledger."""


def find_files(s3: Any, bucket: str, pointers: Sequence[LatestPredictions]) -> FoundFiles:
    """List the files of predictions, and compare them with the ledgers, and the ledgers with the pointers."""
    prefixes: dict[str, LatestPredictions] = {}
    for pointer in pointers:
        for prefix in _prefixes(bucket, pointer):
            prefixes.setdefault(prefix, pointer)
    found = FoundFiles()
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda prefix: _compare(s3, bucket, prefix, prefixes[prefix].execution_id, found), prefixes):
            pass
    for pointer in pointers:
        _count_objects(bucket, pointer, found)
    return found


def _prefixes(bucket: str, pointer: LatestPredictions) -> list[str]:
    return [uri.removeprefix(layout.s3_uri(bucket, "")) for uri in pointer.predictions_uris]


def _count_objects(bucket: str, pointer: LatestPredictions, found: FoundFiles) -> None:
    """Compare the number of objects that have a commit with the pointer's."""
    prefixes = _prefixes(bucket, pointer)
    if any(_partition(prefix, "job_id") in found.without_ledger for prefix in prefixes):
        return
    committed = set().union(*(found.objects.get((prefix, pointer.model_id), set()) for prefix in prefixes))
    if len(committed) != pointer.object_count:
        found.problems.append(
            f"{pointer.model_id!r} has scored {pointer.object_count:,} objects of {pointer.dataset!r}, but "
            f"the ledger has commits of {len(committed):,}"
        )


def download(s3: Any, bucket: str, files: Sequence[PredictionsFile], content: Mapping[str, Any], folder: Path) -> None:
    """Download the files to a folder that is empty or does not exist.

    `content` says what they are. It becomes a JSON file in the folder.

    Raises:
        CommandError: when the folder has files, another download was interrupted there, or a file is not
            what its commit says.
    """
    partial = _partial_folder(folder, dump_json(content, indent=1) + "\n")
    for file in files:
        if RelativePath().problems("key", file.key):
            raise CommandError(f"{layout.s3_uri(bucket, file.key)} cannot be a file below {folder}.")
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for _ in pool.map(lambda file: _fetch(s3, bucket, file, partial / file.key), files):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _check_is_whole(partial, files)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def check_is_free(folder: Path) -> None:
    """Check that a download would not mix with other files.

    Raises:
        CommandError: when the folder is not empty, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"--download: {folder} is not an empty folder. Name one that is, or that does not exist.")


def _partial_folder(folder: Path, content: str) -> Path:
    """Return the folder of the incomplete download, which says what it will have.

    Raises:
        CommandError: when the folder is not free, or an interrupted download had other content.
    """
    check_is_free(folder)
    partial = folder.absolute().with_name(f"{folder.absolute().name}.incomplete")
    known = partial / CONTENT_NAME
    if partial.exists():
        if not known.is_file() or known.read_text(encoding="utf-8") != content:
            raise CommandError(
                f"--download: {partial} is left from a download of other predictions. Delete it, or name another "
                "folder."
            )
        return partial
    partial.mkdir(parents=True)
    known.write_text(content, encoding="utf-8")
    return partial


def _check_is_whole(partial: Path, files: Sequence[PredictionsFile]) -> None:
    """Check that every file has a place of its own.

    Raises:
        CommandError: when the file system takes two names for one, as on macOS names that differ in case.
    """
    places = {(status.st_dev, status.st_ino) for status in ((partial / file.key).stat() for file in files)}
    if len(places) != len(files):
        raise CommandError(
            f"--download: {len(files):,} files became {len(places):,} in {partial}, because this file system does not "
            "tell some of their names apart. Delete the folder, and download to another file system."
        )


def content_of(pointers: Sequence[LatestPredictions]) -> dict[str, Any]:
    """Return what a download of these predictions has."""
    return {"predictions": [codec.to_value(pointer) for pointer in pointers]}


def _compare(s3: Any, bucket: str, prefix: str, execution_id: str, found: FoundFiles) -> None:
    """Add the files below a prefix, or the problems that they have."""
    sizes = dict(list_objects(s3, bucket, prefix))
    expected, objects = _committed(s3, bucket, prefix, execution_id)
    found.objects |= {(prefix, model_id): keys for model_id, keys in objects.items()}
    if not objects:
        found.without_ledger.append(_partition(prefix, "job_id"))
        expected = {key: {(size, "")} for key, size in sizes.items()}
        if not sizes:
            found.problems.append(f"{layout.s3_uri(bucket, prefix)} has no files")
    for key in sorted({*expected, *sizes}):
        checksums = {checksum for size, checksum in expected.get(key, ()) if size == sizes.get(key)}
        if checksums:
            found.files[key] = PredictionsFile(key, sizes[key], frozenset(filter(None, checksums)))
        elif key not in sizes:
            found.problems.append(f"{layout.s3_uri(bucket, key)} is missing")
        elif key not in expected:
            found.problems.append(f"{layout.s3_uri(bucket, key)}: no commit names it")
        else:
            found.problems.append(f"{layout.s3_uri(bucket, key)} has {sizes[key]:,} bytes, its commit says otherwise")


def _committed(
    s3: Any, bucket: str, prefix: str, execution_id: str
) -> tuple[dict[str, set[tuple[int, str]]], dict[str, set[str]]]:
    """Return what the ledger says: size and checksum per key and commit of the outputs below a prefix, and
    the keys of the objects that have a commit, per model.

    Raises:
        InvalidInputError: a segment cannot be read, such as one of another release.
    """
    model_id = _partition(prefix, "model_id")
    job_folder = prefix.partition("model_id=")[0]
    ledger = layout.ledger_prefix(execution_id, _partition(prefix, "job_id"))
    outputs: dict[str, set[tuple[int, str]]] = {}
    objects: dict[str, set[str]] = {}
    for key, _ in list_objects(s3, bucket, ledger):
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for commit in read_segment(key.removeprefix(ledger), content).commits():
            if model_id not in ("", commit.model_id):
                continue
            objects.setdefault(commit.model_id, set()).add(commit.object)
            for output in commit.outputs:
                if output.kind == "predictions":
                    outputs.setdefault(job_folder + output.key, set()).add((output.bytes, output.crc64nvme))
    return outputs, objects


def _fetch(s3: Any, bucket: str, file: PredictionsFile, path: Path) -> None:
    """Download one file. It appears under its name when it is whole."""
    if path.is_file() and path.stat().st_size == file.size:
        return
    try:
        answer = s3.get_object(Bucket=bucket, Key=file.key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error_code(error) != "NoSuchKey":
            raise
        raise CommandError(f"{layout.s3_uri(bucket, file.key)} was deleted during the download.") from error
    checksum = answer.get("ChecksumCRC64NVME", "")
    is_of_whole = bool(checksum) and answer.get("ChecksumType") != "COMPOSITE"
    if file.checksums and is_of_whole and checksum not in file.checksums:
        raise CommandError(
            f"{layout.s3_uri(bucket, file.key)} has the CRC64NVME {checksum} in S3, its commit says "
            f"{min(file.checksums)}: its content has changed since it was committed. Score the dataset again."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(layout.unfinished_name(path.name))
    size = 0
    with unfinished.open("wb") as target:
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            size += target.write(chunk)
    if size != file.size:
        raise CommandError(f"{layout.s3_uri(bucket, file.key)}: got {size:,} of {file.size:,} bytes. Try again.")
    unfinished.replace(path)


def describe_problems(found: FoundFiles) -> str:
    """Return the first problems of files as one message."""
    more = len(found.problems) - _SHOWN_FILES
    shown = "; ".join(found.problems[:_SHOWN_FILES]) + (f"; and {more:,} more" if more > 0 else "")
    return f"The predictions are not complete any more: {shown}. Score the dataset again."


def list_objects(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield key and size of every object below a prefix."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"], entry["Size"]


def _partition(prefix: str, name: str) -> str:
    """Return the value of a Hive partition in a prefix; empty if it has none.

    >>> _partition("joined/dataset=d/execution_id=e/job_id=j/", "job_id")
    'j'
    """
    values = [part.removeprefix(f"{name}=") for part in prefix.split("/") if part.startswith(f"{name}=")]
    return values[-1] if values else ""
