"""Pure functions about uploads: which are data, the name of a batch, and its manifest."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from contract.dataset.formats import other_format
from contract.dataset.object_keys import MAX_KEY_BYTES, is_data
from contract.json_text import JsonError, parse_json
from contract.names import check_object_key
from contract.triggers.uploads import ObjectVersion, UploadManifest
from lambdas.shown_text import list_first, shorten

MAX_MARKED_OBJECTS = 100_000
"""Most objects that a marker may select: a job of one model cannot be verified with more."""
SPLIT_MARKER = "write several markers, each for a part of them, or fewer and larger objects"
_SHOWN_CHARACTERS = 200
_DIGEST_CHARACTERS = 32


def is_scored(key: str) -> bool:
    """Return whether a window gathers this upload.

    Other uploads are ignored, because one of them would make the plan refuse the whole window. An
    upload without a known extension is gathered: a model's record or its content may say the format.
    """
    return is_data(key) and not other_format(key) and not check_object_key("key", key)


def distinct(uploads: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Return each upload once, sorted, so that the result does not depend on the order of arrival."""
    once = {(upload.key, upload.identity): upload for upload in uploads}
    return [once[name] for name in sorted(once)]


def batch_name(dataset: str, uploads: Sequence[ObjectVersion]) -> str:
    """Return a name for exactly these uploads, in any order."""
    names = sorted((upload.key, upload.identity) for upload in uploads)
    return hashlib.sha256(json.dumps([dataset, *names]).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def window_manifest(dataset: str, uploads: Iterable[ObjectVersion]) -> UploadManifest:
    """Return the manifest of a window: the latest upload of each key is scored, earlier ones are
    superseded."""
    latest: dict[str, ObjectVersion] = {}
    superseded: list[ObjectVersion] = []
    for upload in distinct(uploads):
        other = latest.get(upload.key)
        if other is None:
            latest[upload.key] = upload
            continue
        is_older = _order(upload, other) < _order(other, upload)
        latest[upload.key] = other if is_older else upload
        superseded.append(upload if is_older else other)
    return UploadManifest(dataset, "window", tuple(latest.values()), tuple(distinct(superseded)))


def _order(upload: ObjectVersion, other: ObjectVersion) -> tuple[str, str]:
    # S3 documents how to compare sequencers: hexadecimal texts, the shorter one padded with zeros
    # on the right.
    length = max(len(upload.sequencer), len(other.sequencer))
    return upload.sequencer.ljust(length, "0"), upload.identity


def read_marker(folder: str, text: bytes) -> tuple[list[str], list[str]]:
    """Return the keys, relative to the dataset, that a marker lists, and its problems.

    `text` is the marker's content, which is not empty.
    """
    try:
        data = parse_json(text)
    except JsonError as error:
        return [], [f"the marker is neither empty nor JSON with a list of keys, because {error}"]
    names = data.get("objects") if isinstance(data, dict) else data
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return [], ["the marker is neither a JSON list of object keys nor an object with such a list in 'objects'"]
    keys = [folder + name for name in dict.fromkeys(names)]
    problem = _problem_of_keys(names, keys)
    return ([], [problem]) if problem else (keys, [])


def _problem_of_keys(names: Sequence[str], keys: Sequence[str]) -> str:
    """Return why a marker may not name these objects; empty if it may."""
    if len(keys) > MAX_MARKED_OBJECTS:
        return f"the marker names {len(keys):,} objects, expected at most {MAX_MARKED_OBJECTS:,}: {SPLIT_MARKER}"
    if unsafe := [name for name in names if check_object_key("key", name)]:
        return f"the marker names keys that are not paths below its folder: {list_names(unsafe)}"
    if too_long := [key for key in keys if len(key.encode()) > MAX_KEY_BYTES]:
        return f"the marker names keys of more than {MAX_KEY_BYTES:,} bytes: {list_names(too_long)}"
    if hidden := [key for key in keys if not is_data(key)]:
        why = "because a part of the key begins with '_' or '.', or it is a folder's marker"
        return f"the marker names objects that are not data, {why}: {list_names(hidden)}"
    return ""


def list_names(names: Sequence[str]) -> str:
    return list_first([repr(shorten(name, _SHOWN_CHARACTERS)) for name in names])
