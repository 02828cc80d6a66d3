"""Finds this instance's shard by comparing its data files with the pinned objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from contract.job.scoring_spec import PinnedObject
from scoring.errors import DataError, ScoringError
from scoring.job.input_files import find_input_files
from scoring.protocol import Failure, ObjectDone


@dataclass(frozen=True)
class Shard:
    """The objects to score, largest first, and those refused before reading."""

    root: Path
    """Folder below which an object's file has the object's key as its path."""
    objects: tuple[PinnedObject, ...]
    refused: tuple[ObjectDone, ...]
    ignored: tuple[str, ...]
    """Files that are not of pinned objects. They are harmless, since only pinned objects must be
    committed. SageMaker does not document whether it leaves the manifest among the data."""


def find_shard(folder: Path, dataset: str, pinned: Iterable[PinnedObject]) -> Shard:
    """Compare each file below `folder` with the pinned objects.

    Raises ConfigurationError when there are files but none is of a pinned object.
    """
    files = find_input_files(folder, dataset, pinned)
    objects: list[PinnedObject] = []
    refused: list[ObjectDone] = []
    for item in sorted(files.objects, key=lambda item: item.key):
        if (problem := _size_problem(item, files.path(item))) is None:
            objects.append(item)
        else:
            failure = Failure(model_id="", kind=problem.kind, text=problem.text)
            refused.append(ObjectDone(key=item.key, rows=0, seconds=0.0, failures=(failure,)))
    # Largest first, so that no worker ends up with a long object while the others are idle.
    objects.sort(key=lambda item: (-item.size, item.key))
    return Shard(files.root, tuple(objects), tuple(refused), files.others)


def _size_problem(item: PinnedObject, path: Path) -> ScoringError | None:
    size = path.stat().st_size
    if size == item.size:
        return None
    return DataError(
        f"object {item.key!r} has {size:,} bytes, the plan pinned {item.size:,}: it was replaced after the execution "
        "started"
    )
