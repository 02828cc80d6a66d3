"""What an upload manifest leaves to score: exactly the objects that it names, as long as they are still those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contract.problems import InvalidInputError, Problem
from contract.triggers.uploads import ObjectVersion, UploadManifest
from lambdas.stage.object_store import ObjectStore, StoredObject

_SHOWN = 10


@dataclass(frozen=True)
class Uploaded:
    """The objects that are scored, and why others of the manifest are not, by key."""

    dataset: str
    objects: tuple[StoredObject, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)


def read_uploaded(key: str, dataset: str | None, store: ObjectStore) -> Uploaded:
    """Read a manifest and hold it against the dataset as it is now. `dataset` is what the request calls it, if it does.

    Raises:
        InvalidInputError: with every problem of the manifest.
    """
    manifest = store.upload_manifest(key)
    if manifest is None:
        expected = f"an upload manifest in the bucket {store.results_bucket}"
        raise InvalidInputError("request", [Problem("objects_manifest", key, expected, "Name one that is there.")])
    if dataset not in (None, manifest.dataset):
        expected = f"{manifest.dataset!r}, the dataset of the objects_manifest, or none"
        raise InvalidInputError("request", [Problem("dataset", dataset, expected)])
    now = store.named_objects(manifest.dataset, [item.key for item in manifest.objects])
    uploaded, problems = compare(key, manifest, now)
    if problems:
        raise InvalidInputError("request", problems)
    return uploaded


def compare(key: str, manifest: UploadManifest, now: Mapping[str, StoredObject]) -> tuple[Uploaded, list[Problem]]:
    """Which of the manifest's objects are still there as they were.

    One that is another by now is skipped when its manifest comes from a window: the later upload is in a window of its
    own, whose execution scores it. A marker spoke for a whole that is not there any more, and nothing else will start
    for the rest of it, so that is refused.
    """
    changed = {item.key: why for item in manifest.objects if (why := _change(item, now.get(item.key)))}
    still = tuple(now[item.key] for item in manifest.objects if item.key not in changed)
    problems = [
        Problem(f"objects_manifest {key}", manifest.marker, "a marker over objects that are there", text)
        for text in manifest.problems
    ]
    if manifest.origin == "marker" and changed:
        remedy = f"{_listed(changed)}. Let uploads end before you write the marker, then write it again."
        problems.append(Problem(f"objects_manifest {key}", f"{len(changed):,} objects", "none that changed", remedy))
    elif not manifest.objects and not manifest.problems:
        remedy = "Upload the data first and the marker last."
        problems.append(Problem(f"objects_manifest {key}", "no objects", "a marker with data in its folder", remedy))
    elif manifest.objects and not still:
        remedy = f"{_listed(changed)}. Nothing is left to do here: later uploads have executions of their own."
        problems.append(Problem(f"objects_manifest {key}", "no objects", "at least one that is unchanged", remedy))
    superseded = {item.key: "a later upload of the same window replaced an earlier one" for item in manifest.superseded}
    return Uploaded(manifest.dataset, still, superseded | changed), problems


def _change(item: ObjectVersion, now: StoredObject | None) -> str:
    if now is None:
        return "removed since it was uploaded"
    if (now.etag, now.size) != (item.etag, item.size):
        return (
            f"replaced since it was uploaded ({item.size:,} bytes and ETag {item.etag}, "
            f"now {now.size:,} and {now.etag}); the later upload starts an execution of its own"
        )
    return ""


def _listed(changed: Mapping[str, str]) -> str:
    shown: Sequence[str] = [f"{name}: {why.partition(' (')[0]}" for name, why in list(changed.items())[:_SHOWN]]
    more = f" and {len(changed) - _SHOWN:,} more" if len(changed) > _SHOWN else ""
    return "; ".join(shown) + more
