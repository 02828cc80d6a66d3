"""Read an upload manifest: the execution scores exactly the objects in it that have not changed
since."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.dataset.object_keys import is_data
from contract.problems import InvalidInputError, Problem
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.shown_text import list_first
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject


@dataclass(frozen=True)
class Uploads:
    """The uploaded objects that an execution scores."""

    dataset: str
    objects: tuple[StoredObject, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Objects of the manifest that are not scored, by key, each with the reason."""
    names_objects: bool = False
    """Whether a marker or a snapshot lists exactly these objects, which may then be a part of a table."""
    is_table: bool = False
    """Whether the command has read them from the snapshot of a table, and nobody has uploaded them."""


def read_uploads(request: ExecutionRequest, store: ObjectStore) -> Uploads | None:
    """Read the manifest that the request names and compare it with the dataset's objects; None when
    it names none.

    Raises:
        InvalidInputError: with every problem of the manifest.
    """
    key, dataset = request.objects_manifest, request.dataset
    if key is None:
        return None
    manifest = store.upload_manifest(key)
    if manifest is None:
        expected = f"an upload manifest in the bucket {store.results_bucket}"
        raise InvalidInputError("request", [Problem("objects_manifest", key, expected, "Name an existing one.")])
    if dataset not in (None, manifest.dataset):
        expected = f"{manifest.dataset!r}, the dataset of the objects_manifest, or none"
        raise InvalidInputError("request", [Problem("dataset", dataset, expected)])
    current = store.named_objects(manifest.dataset, [item.key for item in manifest.objects])
    uploads, problems = compare(key, manifest, current)
    if problems:
        raise InvalidInputError("request", problems)
    return uploads


def compare(key: str, manifest: UploadManifest, current: Mapping[str, StoredObject]) -> tuple[Uploads, list[Problem]]:
    """Return the manifest's objects that have not changed since, and the problems of the manifest.

    In a manifest from a window, a changed object is skipped: the execution of a later window scores
    the later upload. In a manifest from a marker or of a table's snapshot, a change is refused: it
    asks for all of its objects, and no other execution will score them.
    """
    since = "the snapshot was read" if manifest.origin == "table" else "it was uploaded"
    changed = {item.key: why for item in manifest.objects if (why := _change(item, current.get(item.key), since))}
    unchanged = tuple(current[item.key] for item in manifest.objects if item.key not in changed)
    field_name = f"objects_manifest {key}"
    remedy = "Correct it and write it again, after the data."
    problems = [
        Problem(field_name, manifest.marker, f"a marker over existing data, but {text}", remedy)
        for text in manifest.problems
    ]
    hidden = [item.key for item in manifest.objects if not is_data(item.key)]
    if hidden:
        remedy = f"A part of these keys begins with '_' or '.': {list_first(hidden)}. Rename that folder of the table."
        problems.append(Problem(field_name, f"{len(hidden):,} hidden files", "keys of data", remedy))
    if manifest.origin == "table" and changed:
        remedy = f"{_list_changes(changed)}. Start the command again, which reads the table's newest snapshot."
        problems.append(Problem(field_name, f"{len(changed):,} files", "a snapshot whose files all exist", remedy))
    elif manifest.origin == "table" and not manifest.objects:
        problems.append(Problem(field_name, "no files", "a snapshot with rows", "Nothing to do: the table is empty."))
    elif manifest.origin == "marker" and changed:
        remedy = f"{_list_changes(changed)}. Let uploads end before you write the marker, then write it again."
        problems.append(Problem(field_name, f"{len(changed):,} objects", "none that changed", remedy))
    elif not manifest.objects and not manifest.problems:
        remedy = "Upload the data first and the marker last."
        problems.append(Problem(field_name, "no objects", "a marker with data in its folder", remedy))
    elif manifest.objects and not unchanged:
        remedy = f"{_list_changes(changed)}. Nothing to do: later uploads have their own executions."
        problems.append(Problem(field_name, "no objects", "at least one that is unchanged", remedy))
    superseded = {item.key: "a later upload of the same window replaced an earlier one" for item in manifest.superseded}
    return Uploads(
        manifest.dataset, unchanged, superseded | changed, manifest.names_objects, manifest.origin == "table"
    ), problems


def _change(item: ObjectVersion, current: StoredObject | None, since: str) -> str:
    if current is None:
        return f"removed since {since}"
    if (current.etag, current.size) != (item.etag, item.size):
        return (
            f"replaced since {since} ({item.size:,} bytes and ETag {item.etag}, "
            f"now {current.size:,} and {current.etag}); the later upload starts its own execution"
        )
    return ""


def _list_changes(changed: Mapping[str, str]) -> str:
    return list_first([f"{name}: {why.partition(' (')[0]}" for name, why in changed.items()], separator="; ")
