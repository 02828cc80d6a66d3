"""Pin a dataset: select its data objects, check their keys, and find later changes."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from contract import layout
from contract.dataset.formats import EXTENSIONS_TEXT, other_format
from contract.dataset.partitions import partition_values
from contract.job.scoring_spec import PinnedObject
from contract.names import check_object_key
from contract.problems import Problem
from lambdas.shown_text import list_first
from lambdas.stage.buckets.object_store import StoredObject

MAX_KEY_BYTES = 1_024
"""Longest key that S3 accepts, in bytes."""
_SUFFIXES = tuple(layout.OUTPUT_SUFFIXES.values())
"""Suffixes that follow an object's key in the names of its outputs."""
_MAX_NAME_BYTES = 255 - max(map(len, _SUFFIXES)) - len(layout.unfinished_name(""))
"""Longest part of a key between two "/", in bytes. The container uses the part as a file name with
suffixes, one of which marks an unfinished file.
"""

_MAX_COMMAND_CHARACTERS = 200
"""Longest command in a problem, whose text is cut at 400 characters."""
_FOLDER_MARKER = "_$folder$"
"""End of the keys with which Hadoop and EMR mark a folder."""


def is_data(key: str) -> bool:
    """Return whether an object is data, by its key relative to the dataset.

    Folder placeholders are not data: keys that end in "/" or, as Hadoop writes them, in
    "_$folder$". Nor are objects whose name, or one of whose folders, begins with "_" or ".". Spark
    and Hive skip them too, because writers use such names for uncommitted files.
    """
    *folders, name = key.split("/")
    # A folder such as `_year=2013` is a partition whose column has that name.
    hidden = any(folder.startswith((".", "_")) and "=" not in folder for folder in folders if folder not in (".", ".."))
    return bool(name) and not name.startswith(("_", ".")) and not name.endswith(_FOLDER_MARKER) and not hidden


def pin_objects(
    dataset: str, listing: Iterable[StoredObject], datasets_bucket: str, max_output_prefix_bytes: int
) -> tuple[tuple[PinnedObject, ...], list[Problem]]:
    """Return the data objects of a listing as they are now, and the problems of the dataset.

    `max_output_prefix_bytes` is an upper bound for the bytes that an output's key adds to the
    object's key.
    """
    data = [entry for entry in listing if is_data(entry.key)]
    field = f"dataset {dataset!r}"
    if not data:
        uri = layout.s3_uri(datasets_bucket, layout.dataset_prefix(dataset))
        expected = f"at least one object with data below {uri}"
        return (), [Problem(field, "no objects", expected, "Upload the dataset, or name another one.")]
    problems: list[Problem] = []
    others = [f"{entry.key} ({other})" for entry in data if (other := other_format(entry.key))]
    if others:
        remedy = (
            f"These do not: {list_first(others)}. Convert or remove them, or rename them to begin with '_', so that "
            "they are skipped."
        )
        found = f"{len(others):,} of {len(data):,} objects in another format by their names"
        expected = f"objects that end in {EXTENSIONS_TEXT}, or whose content or record says the format"
        problems.append(Problem(field, found, expected, remedy))
    problems += _check_slashes(field, data, layout.s3_uri(datasets_bucket, layout.dataset_prefix(dataset)))
    pinned: list[PinnedObject] = []
    for entry in data:
        if other_format(entry.key) or _has_empty_part(entry.key):
            continue
        key_problems = check_object_key(f"{field}: object key", entry.key)
        key_problems = key_problems or _check_length(field, entry.key, MAX_KEY_BYTES - max_output_prefix_bytes)
        problems.extend(key_problems)
        if not key_problems:
            pinned.append(PinnedObject(entry.key, entry.size, entry.etag))
    problems += _check_collisions(field, [item.key for item in pinned])
    return tuple(pinned), problems


def replaced_objects(pinned: Iterable[PinnedObject], listing: Iterable[StoredObject]) -> tuple[str, ...]:
    """Return the pinned objects that were replaced or removed since, each with the change.

    New objects are ignored.
    """
    current = {entry.key: entry for entry in listing}
    changed: list[str] = []
    for item in pinned:
        entry = current.get(item.key)
        if entry is None:
            changed.append(f"{item.key} (removed)")
        elif (entry.size, entry.etag) != (item.size, item.etag):
            changed.append(
                f"{item.key} ({item.size:,} bytes and ETag {item.etag}, now {entry.size:,} and {entry.etag})"
            )
    return tuple(changed)


def _has_empty_part(key: str) -> bool:
    return "" in key.split("/")


def _check_slashes(field: str, data: Sequence[StoredObject], uri: str) -> list[Problem]:
    """Refuse keys such as `a//b`, for which SageMaker fails the job when it copies its input.

    `uri` is that of the dataset, and ends in a slash. The text of SageMaker's error is "has an
    illegal char sub-sequence '//' in it".
    """
    keys = [entry.key for entry in data if _has_empty_part(entry.key)]
    if not keys:
        return []
    found = f"{len(keys):,} keys with '//': {list_first(keys, 3)}"
    expected = "keys without '//', because SageMaker refuses to copy others to a job"
    folder = f"/{keys[0]}".partition("//")[0].removeprefix("/")
    target = f"{uri}{folder}/" if folder else uri
    command = shlex.join(["aws", "s3", "mv", "--recursive", f"{target}/", target])
    if len(command) > _MAX_COMMAND_CHARACTERS:
        command = "aws s3 mv --recursive"
    return [Problem(field, found, expected, f"Move them, for example: `{command}`.")]


def _check_length(field: str, key: str, max_bytes: int) -> list[Problem]:
    if len(key.encode()) > max_bytes:
        expected = f"at most {max_bytes} bytes, so that its predictions' key fits into {MAX_KEY_BYTES:,} bytes"
        return [Problem(f"{field}: object key", key, expected, "Give the object a shorter name.")]
    if max(len(part.encode()) for part in key.split("/")) > _MAX_NAME_BYTES:
        expected = f"at most {_MAX_NAME_BYTES} bytes between two '/', because it becomes a file name"
        return [Problem(f"{field}: object key", key, expected, "Give the object a shorter name.")]
    return []


def _check_collisions(field: str, keys: Sequence[str]) -> list[Problem]:
    """Refuse objects whose files would collide in the container or in S3.

    The key of an object or of an output may also be a folder of other objects. Or two objects would
    have the same output: `a.csv` and `a.csv.parquet` both have `a.csv.parquet`.
    """
    files = {key + suffix: key for key in keys for suffix in ("", *_SUFFIXES)}
    folders = {folder for key in keys for folder in _folders(key)}
    shared = {key for output_format in layout.OUTPUT_SUFFIXES for key in _keys_with_shared_output(keys, output_format)}
    colliding = sorted({files[name] for name in folders & files.keys()} | shared)
    if not colliding:
        return []
    expected = (
        f"no object whose key, alone or followed by one of {', '.join(_SUFFIXES)}, is a folder of other objects, and "
        "no two objects with the same output"
    )
    return [Problem(f"{field}: object key", list_first(colliding), expected, "Rename these objects.")]


def _folders(key: str) -> Iterator[str]:
    """Return the folders of a key, innermost first.

    >>> list(_folders("2026/07/a.csv"))
    ['2026/07', '2026']
    """
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


def _keys_with_shared_output(keys: Sequence[str], output_format: str) -> list[str]:
    names = Counter(layout.output_name(key, output_format) for key in keys)
    return [key for key in keys if names[layout.output_name(key, output_format)] > 1]


def keys_without_partitions(objects: Iterable[PinnedObject], names: Sequence[str]) -> dict[str, str]:
    """Return the keys that lack values for these partition columns, each with the reason."""
    reasons: dict[str, str] = {}
    for item in objects if names else ():
        try:
            partition_values(item.key, names)
        except ValueError as error:
            reasons[item.key] = str(error)
    return reasons
