"""Large objects that several workers predict part by part, because threads of one worker would not be faster."""

from dataclasses import dataclass, field, replace

from contract.dataset.formats import format_of
from contract.job.scoring_spec import PinnedObject
from scoring.protocol import Failure, JoinParts, ObjectDone, PartDone, ScorePart

_FEWEST_BYTES = 4 << 20
"""Of an object that is worth to be shared: each part opens it anew, and its predictions are written twice."""


@dataclass
class _Shared:
    object: PinnedObject
    parts: int
    open: set[int]
    seconds: float = 0.0
    failures: dict[str, tuple[int, Failure]] = field(default_factory=dict)
    """By model: the part and its failure, of the first such part."""


class SharedObjects:
    """What is known of the objects that are shared at the moment."""

    def __init__(self, models: int) -> None:
        self._models = models
        self._shared: dict[str, _Shared] = {}

    def share(self, item: PinnedObject, parts: int) -> list[ScorePart]:
        """The parts of an object, to be predicted in any order."""
        self._shared[item.key] = _Shared(item, parts, set(range(parts)))
        return [ScorePart(item, part, parts) for part in range(parts)]

    def part_done(self, done: PartDone) -> JoinParts | ObjectDone | None:
        """What follows: putting the parts together, the object's end when no model is left, or nothing yet."""
        shared = self._shared.get(done.key)
        if shared is None:
            return None
        shared.open.discard(done.part)
        shared.seconds += done.seconds
        for failure in done.failures:
            known = shared.failures.get(failure.model_id)
            if known is None or done.part < known[0]:
                shared.failures[failure.model_id] = (done.part, failure)
        if shared.open and "" not in shared.failures:
            return None
        if "" in shared.failures or len(shared.failures) == self._models:
            return self.end(ObjectDone(done.key, 0, 0.0))
        return JoinParts(shared.object, shared.parts, tuple(sorted(shared.failures)))

    def end(self, done: ObjectDone) -> ObjectDone:
        """The end of an object with all that is known of it; it is forgotten. Others' ends stay as they are."""
        shared = self._shared.pop(done.key, None)
        if shared is None:
            return done
        failures = tuple(failure for _, failure in shared.failures.values())
        if whole := [failure for failure in failures if not failure.model_id]:
            failures = tuple(whole)
        return replace(done, seconds=done.seconds + shared.seconds, failures=(*failures, *done.failures))


def can_be_shared(item: PinnedObject) -> bool:
    """Only Parquet can be read from the middle."""
    kind = format_of(item.key)
    return kind is not None and kind.name == "parquet" and item.size >= _FEWEST_BYTES
