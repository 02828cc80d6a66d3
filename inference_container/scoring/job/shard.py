"""This instance's shard: the files below the data folder, held against the objects that the plan pinned."""

import os
from dataclasses import dataclass
from pathlib import Path

from contract.job.scoring_spec import JobSpec, PinnedObject
from scoring.errors import DataError, ScoringError
from scoring.protocol import Failure, ObjectDone


@dataclass(frozen=True)
class Shard:
    """Objects to score, largest first, and the ones that were refused before anything was read."""

    objects: tuple[PinnedObject, ...]
    refused: tuple[ObjectDone, ...]
    ignored: tuple[str, ...]
    """Files that are no pinned object. Harmless: what counts is that every pinned object is committed, and whether
    SageMaker leaves the manifest itself among the data is not documented."""


def find_shard(folder: Path, spec: JobSpec) -> Shard:
    """Hold each file below `folder` against the spec; its path relative to `folder` is its object's key."""
    pinned = {item.key: item for item in spec.objects}
    objects: list[PinnedObject] = []
    refused: list[ObjectDone] = []
    ignored: list[str] = []
    for path in _files(folder):
        key = path.relative_to(folder).as_posix()
        item = pinned.get(key)
        if item is None:
            ignored.append(key)
        elif (problem := _changed(item, path)) is None:
            objects.append(item)
        else:
            failure = Failure(model_id="", kind=problem.kind, text=problem.text)
            refused.append(ObjectDone(key=key, rows=0, seconds=0.0, failures=(failure,)))
    # The largest first, so that no worker is left with a long object when all others have nothing to do.
    objects.sort(key=lambda item: (-item.size, item.key))
    return Shard(tuple(objects), tuple(refused), tuple(ignored))


def _files(folder: Path) -> list[Path]:
    return sorted(Path(parent) / name for parent, _, names in os.walk(folder) for name in names)


def _changed(item: PinnedObject, path: Path) -> ScoringError | None:
    size = path.stat().st_size
    if size == item.size:
        return None
    return DataError(
        f"object {item.key!r} has {size:,} bytes, the plan pinned {item.size:,}: it was replaced after the execution "
        "started; start a new execution"
    )
