"""Large objects that several workers predict in parts, where threads would not be faster."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from contract.dataset.formats import looks_like
from contract.job.scoring_spec import PinnedObject
from scoring.protocol import Failure, MergeParts, ObjectDone, PartDone, PredictPart

_MIN_BYTES = 4 << 20
"""Smallest object worth splitting, in bytes: each part opens the object again, and its predictions
are written twice."""


@dataclass
class _SplitObject:
    object: PinnedObject
    parts: int
    open: set[int]
    seconds: float = 0.0
    failures: dict[str, tuple[int, Failure]] = field(default_factory=dict)
    """By model: its first part that failed, and the failure."""


class SplitObjects:
    """The state of the objects that are currently split."""

    def __init__(self, models: int) -> None:
        self._models = models
        self._split: dict[str, _SplitObject] = {}

    def split(self, item: PinnedObject, parts: int) -> list[PredictPart]:
        """Return the tasks for an object's parts, which may run in any order."""
        self._split[item.key] = _SplitObject(item, parts, set(range(parts)))
        return [PredictPart(item, part, parts) for part in range(parts)]

    def finish_part(self, done: PartDone) -> MergeParts | ObjectDone | None:
        """Return what follows a part: the merge, the object's end if all models failed, or None."""
        split = self._split.get(done.key)
        if split is None:
            return None
        split.open.discard(done.part)
        split.seconds += done.seconds
        for failure in done.failures:
            known = split.failures.get(failure.model_id)
            if known is None or done.part < known[0]:
                split.failures[failure.model_id] = (done.part, failure)
        if split.open and "" not in split.failures:
            return None
        if "" in split.failures or len(split.failures) == self._models:
            return self.finish_object(ObjectDone(done.key, 0, 0.0))
        return MergeParts(split.object, split.parts, tuple(sorted(split.failures)), seconds=split.seconds)

    def finish_object(self, done: ObjectDone) -> ObjectDone:
        """Return `done` with the seconds and failures of the object's parts, if it was split."""
        split = self._split.pop(done.key, None)
        if split is None:
            return done
        failures = tuple(failure for _, failure in split.failures.values())
        if whole := [failure for failure in failures if not failure.model_id]:
            failures = tuple(whole)
        return replace(done, seconds=done.seconds + split.seconds, failures=(*failures, *done.failures))


def can_be_split(item: PinnedObject, path: Path) -> bool:
    """Return whether an object is large and Parquet, the only format readable from the middle."""
    if item.size < _MIN_BYTES:
        return False
    with path.open("rb") as file:
        return looks_like(file.read(4)) == "Parquet"
