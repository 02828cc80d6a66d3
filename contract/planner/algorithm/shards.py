"""How the bytes of a dataset are divided between the instances of a job."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_IMBALANCE = 1.2
"""Largest size of a shard, as a multiple of the mean, that SageMaker may deal."""

_SHARED = 4
"""Objects of a part up to which the largest part is known better than by its mean."""


@dataclass(frozen=True)
class Shards:
    """The bytes of each instance or part."""

    is_split: bool
    """Whether these are parts of about equal bytes, each a job of one instance."""
    sizes: tuple[int, ...]

    @property
    def together(self) -> int:
        """Number of instances that start and end as one job."""
        return 1 if self.is_split else len(self.sizes)


class Dataset:
    """The objects of a dataset, with the divisions that were asked for."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self.objects = len(sizes)
        self.total = sum(sizes)
        self.largest = max(sizes, default=0)
        self._smallest = min(sizes, default=0)
        self._dealt: dict[int, tuple[int, ...]] = {}
        self._divided: dict[tuple[int, bool], Shards] = {}
        self.shape = self.objects, self.total, self.largest, self._smallest, self.is_split(2)
        """Numbers that decide about the ways to divide the objects, to a good approximation."""

    def is_split(self, instances: int) -> bool:
        """Return whether shards of equal counts, as SageMaker deals them, would be too unequal."""
        if instances == 1 or self.largest <= MAX_IMBALANCE * self._smallest:
            return False
        return max(self._deal(instances)) > MAX_IMBALANCE * self.total / instances

    def longest(self, instances: int) -> float:
        """Return the bytes of the largest shard; those of the largest part are a good approximation."""
        if instances == 1:
            return self.total
        if self.is_split(instances):
            # Of one object more than there are parts, two share a part: and so on.
            shared = (
                (count + 1) * self._descending[count * instances]
                for count in range(1, min(_SHARED, (self.objects - 1) // instances) + 1)
            )
            return max(self.largest, self.total / instances, *shared)
        return max(self._deal(instances))

    @cached_property
    def _descending(self) -> list[int]:
        return sorted(self._sizes, reverse=True)

    def divide(self, instances: int, *, always: bool = False) -> Shards:
        """Return the shards of at most as many instances as there are objects.

        `always` makes parts even of objects of about one size.
        """
        key = instances, always
        if key not in self._divided:
            split = instances > 1 and (always or self.is_split(instances))
            sizes = self._balance(instances) if split else self._deal(instances)
            self._divided[key] = Shards(split, sizes)
        return self._divided[key]

    def _deal(self, instances: int) -> tuple[int, ...]:
        if instances not in self._dealt:
            self._dealt[instances] = tuple(sum(self._sizes[start::instances]) for start in range(instances))
        return self._dealt[instances]

    def _balance(self, instances: int) -> tuple[int, ...]:
        # By bytes, then by number of objects, as `lambdas.planning.scoring.shards.balance` does.
        loads = [(0, 0, number) for number in range(min(instances, self.objects))]
        for size in self._descending:
            total, length, number = loads[0]
            heapq.heapreplace(loads, (total + size, length + 1, number))
        return tuple(total for total, _, _ in sorted(loads, key=lambda load: load[2]))
