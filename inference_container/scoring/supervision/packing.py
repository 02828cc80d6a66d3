"""Packs small objects into groups, which one worker scores together."""

from collections.abc import Sequence

from contract.job.scoring_spec import PinnedObject

_MAX_OBJECT_BYTES = 2 << 20
"""Largest object of a group, in bytes. With a larger one, the cost per call and message is negligible."""
_MAX_GROUP_BYTES = 16 << 20
_MAX_OBJECTS = 64
_MAX_OUTPUTS = 2_048
"""Most outputs of a group, because one message describes all of them."""
_GROUPS_PER_CORE = 2
"""Groups per core into which the remaining objects are divided, so that all cores end together."""
_WORTHWHILE_SECONDS = 0.05
"""Duration of a group, in seconds, that is long enough even if the other cores have no work left."""
_OBJECT_WEIGHT = 1 << 15
"""Work of an object apart from its bytes, expressed in bytes."""


class GroupPacking:
    """Decides how many of the queued objects make the next group, by the times of those before."""

    def __init__(self, models: int, batches: int = 1) -> None:
        """`batches` is the number of default batches that one batch is as large as."""
        # A fleet's models get few rows of each object, so that larger objects are worth a group.
        self._max_object_bytes = _MAX_OBJECT_BYTES * (1 if batches == 1 else 2 * batches)
        self._max_group_bytes = _MAX_GROUP_BYTES * batches
        self._most_objects = min(_MAX_OBJECTS, max(1, _MAX_OUTPUTS // max(1, models)))
        self._weight_done = 0
        self._seconds = 0.0

    def record(self, objects: Sequence[PinnedObject], seconds: float) -> None:
        """Note how long objects took on one thread."""
        self._weight_done += sum(map(_weight, objects))
        self._seconds += seconds

    def next_group(self, queue: Sequence[PinnedObject], cores: int) -> int:
        """Return how many objects at the beginning of the queue, which is not empty, to score together."""
        share = sum(map(_weight, queue)) / (cores * _GROUPS_PER_CORE)
        if self._seconds:
            share = max(share, _WORTHWHILE_SECONDS * self._weight_done / self._seconds)
        count, total, weight = 0, 0, 0
        for item in queue[: self._most_objects]:
            total += item.size
            weight += _weight(item)
            if item.size > self._max_object_bytes or total > self._max_group_bytes or weight > share:
                break
            count += 1
        return max(1, count)


def _weight(item: PinnedObject) -> int:
    return item.size + _OBJECT_WEIGHT
