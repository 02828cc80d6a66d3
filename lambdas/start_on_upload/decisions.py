"""Which uploads are data, how they are named together, and which of one key counts: decisions without any I/O."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from contract.dataset.formats import format_of
from contract.names import check_object_key
from contract.triggers.uploads import ObjectVersion, UploadManifest
from lambdas.dataset.pinning import is_data

_DIGEST_CHARACTERS = 32
_DATASET_CHARACTERS = 38
"""An execution's name has 80 characters at most."""
_SHOWN = 10


def is_scored(key: str) -> bool:
    """Whether an upload to a window is gathered. One that is not would have the whole execution refused."""
    return is_data(key) and format_of(key) is not None and not check_object_key("key", key)


def distinct(uploads: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Each upload once, in an order that does not depend on how they came."""
    once = {(upload.key, upload.identity): upload for upload in uploads}
    return [once[name] for name in sorted(once)]


def name_of(dataset: str, uploads: Sequence[ObjectVersion]) -> str:
    """A name that these uploads have in any order, and no others: of a part, or of a whole batch."""
    names = sorted((upload.key, upload.identity) for upload in uploads)
    return hashlib.sha256(json.dumps([dataset, *names]).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def execution_name(dataset: str, batch_id: str) -> str:
    return f"upload-{dataset[:_DATASET_CHARACTERS]}-{batch_id}"


def window_manifest(dataset: str, uploads: Iterable[ObjectVersion]) -> UploadManifest:
    """Of each key the latest upload is scored: the others cannot be read as the dataset's object any more."""
    latest: dict[str, ObjectVersion] = {}
    superseded: list[ObjectVersion] = []
    for upload in distinct(uploads):
        other = latest.get(upload.key)
        older, newer = (upload, other) if other and _order(other, upload) > _order(upload, other) else (other, upload)
        latest[upload.key] = newer
        if older is not None:
            superseded.append(older)
    return UploadManifest(dataset, "window", tuple(latest.values()), tuple(distinct(superseded)))


def _order(upload: ObjectVersion, other: ObjectVersion) -> tuple[str, str]:
    # As S3 says: hexadecimal texts of any length, the shorter one filled up with zeros on its right.
    length = max(len(upload.sequencer), len(other.sequencer))
    return upload.sequencer.ljust(length, "0"), upload.identity


def read_marker(folder: str, text: bytes) -> tuple[list[str], list[str]]:
    """The keys, relative to the dataset, that a marker names, and what is wrong with it. `text` is not empty."""
    try:
        data = json.loads(text)
    except ValueError as error:
        return [], [f"the marker is neither empty nor JSON ({error})"]
    names = data.get("objects") if isinstance(data, dict) else data
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return [], ["the marker is neither a JSON list of object keys nor an object with such a list in 'objects'"]
    unsafe = [name for name in names if check_object_key("key", name)]
    if unsafe:
        return [], [f"the marker names what is no path below its folder: {listed(unsafe)}"]
    keys = [folder + name for name in dict.fromkeys(names)]
    hidden = [key for key in keys if not is_data(key)]
    if hidden:
        return [], [f"the marker names what is no data, because a part of it begins with '_' or '.': {listed(hidden)}"]
    return keys, []


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
