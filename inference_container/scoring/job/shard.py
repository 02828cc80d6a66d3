"""Finds this instance's shard by comparing its data files with the pinned objects."""

import os
from dataclasses import dataclass
from pathlib import Path

from contract.job.scoring_spec import JobSpec, PinnedObject
from scoring.errors import DataError, ScoringError
from scoring.protocol import Failure, ObjectDone


@dataclass(frozen=True)
class Shard:
    """The objects to score, largest first, and those refused before reading."""

    objects: tuple[PinnedObject, ...]
    refused: tuple[ObjectDone, ...]
    ignored: tuple[str, ...]
    """Keys of files that are not pinned objects. They are harmless, since only pinned objects must
    be committed. SageMaker does not document whether it leaves the manifest among the data."""


def find_shard(folder: Path, spec: JobSpec) -> Shard:
    """Compare each file below `folder` with the spec; its relative path is its object's key."""
    pinned = {item.key: item for item in spec.objects}
    objects: list[PinnedObject] = []
    refused: list[ObjectDone] = []
    ignored: list[str] = []
    for path in _files(folder):
        key = path.relative_to(folder).as_posix()
        item = pinned.get(key)
        if item is None:
            ignored.append(key)
        elif (problem := _size_problem(item, path)) is None:
            objects.append(item)
        else:
            failure = Failure(model_id="", kind=problem.kind, text=problem.text)
            refused.append(ObjectDone(key=key, rows=0, seconds=0.0, failures=(failure,)))
    # Largest first, so that no worker ends up with a long object while the others are idle.
    objects.sort(key=lambda item: (-item.size, item.key))
    return Shard(tuple(objects), tuple(refused), tuple(ignored))


def _files(folder: Path) -> list[Path]:
    return sorted(Path(parent) / name for parent, _, names in os.walk(folder) for name in names)


def _size_problem(item: PinnedObject, path: Path) -> ScoringError | None:
    size = path.stat().st_size
    if size == item.size:
        return None
    return DataError(
        f"object {item.key!r} has {size:,} bytes, the plan pinned {item.size:,}: it was replaced after the execution "
        "started; start a new execution"
    )
