"""Divide the objects of a job between its instances.

SageMaker's ShardedByS3Key gives instances equal numbers of objects, whatever their sizes. AWS
documents no more than that. The plan takes shards as they result from dealing the objects in the
order of their keys, in turn. If the largest of them is too large, the plan makes parts of about equal bytes,
each for a job of one instance.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.job.parts import JobPart, Sharding
from contract.job.scoring_spec import PinnedObject
from contract.job.snapshot import Snapshot
from contract.planner.algorithm.shards import MAX_IMBALANCE


@dataclass(frozen=True)
class Division:
    """How the objects of a snapshot are divided."""

    sharding: Sharding
    parts: tuple[Snapshot, ...]
    """The objects of each part; empty if SageMaker deals them."""


def divide(snapshot: Snapshot, instances: int, *, needs_parts: bool = False) -> Division:
    """Return how the objects are divided between at least two instances.

    Objects of about one size are left to SageMaker: parts would not be smaller than shards. Jobs on spot
    capacity need parts, because they have one instance each.
    """
    sizes = [item.size for item in sorted(snapshot.objects, key=lambda item: item.key)]
    largest = max(sum(sizes[start::instances]) for start in range(instances))
    mean = snapshot.total_bytes / instances
    is_skewed = largest > MAX_IMBALANCE * mean and max(sizes) > MAX_IMBALANCE * min(sizes)
    parts = balance(snapshot.objects, instances) if is_skewed or needs_parts else []
    sharding = Sharding(max(1, len(parts)), largest, round(mean))
    names = (JobPart("", number, len(parts)).name for number in range(1, len(parts) + 1))
    snapshots = (replace(snapshot, objects=tuple(part), part=name) for part, name in zip(parts, names, strict=True))
    return Division(sharding, tuple(snapshots))


def balance(objects: Sequence[PinnedObject], count: int) -> list[list[PinnedObject]]:
    """Return the objects in `count` parts of about equal bytes, or in fewer if there are fewer objects.

    The largest object goes first, each onto the part with the fewest bytes. So an object that is
    larger than the mean is alone. The order within a part is that of `objects`.
    """
    parts: list[list[int]] = [[] for _ in range(min(count, len(objects)))]
    # By bytes, then by number of objects, so that empty objects leave no part empty.
    loads = [(0, 0, number) for number in range(len(parts))]
    for index in sorted(range(len(objects)), key=lambda index: (-objects[index].size, objects[index].key)):
        size, length, number = loads[0]
        parts[number].append(index)
        heapq.heapreplace(loads, (size + objects[index].size, length + 1, number))
    return [[objects[index] for index in sorted(part)] for part in parts]
