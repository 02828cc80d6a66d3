"""Pin a dataset: select its data objects, check their keys, and find later changes."""

import shlex
from collections.abc import Iterable, Sequence

from contract import layout
from contract.dataset.formats import EXTENSIONS_TEXT, other_format
from contract.dataset.object_keys import COLLISION_EXPECTED, MAX_KEY_BYTES, check_key, colliding_keys, is_data
from contract.dataset.partitions import partition_values
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from lambdas.shown_text import list_first
from lambdas.stage.buckets.stored_object import StoredObject

_MAX_COMMAND_CHARACTERS = 200
"""Longest command in a problem, whose text is cut at 400 characters."""


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
        key_problems = check_key(f"{field}: object key", entry.key, MAX_KEY_BYTES - max_output_prefix_bytes)
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


def _check_collisions(field: str, keys: Sequence[str]) -> list[Problem]:
    """Refuse objects whose files would collide in the container or in S3."""
    colliding = colliding_keys(keys)
    if not colliding:
        return []
    return [Problem(f"{field}: object key", list_first(colliding), COLLISION_EXPECTED, "Rename these objects.")]


def keys_without_partitions(objects: Iterable[PinnedObject], names: Sequence[str]) -> dict[str, str]:
    """Return the keys that lack values for these partition columns, each with the reason."""
    reasons: dict[str, str] = {}
    for item in objects if names else ():
        try:
            partition_values(item.key, names)
        except ValueError as error:
            reasons[item.key] = str(error)
    return reasons
