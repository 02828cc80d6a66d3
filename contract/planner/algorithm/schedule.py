"""List scheduling: when each job of an ordered list runs, under the limits of an execution."""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Item(NamedTuple):
    """What the Map runs: a job, or a part of a split job."""

    instance_type: str
    instances: int
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """When items run. Times are in seconds from the first one."""

    starts: tuple[float, ...]
    makespan: float
    peaks: Mapping[str, int]
    """Most instances of each type that run at once."""


def schedule(
    items: Sequence[Item], *, max_concurrency: int, quotas: Mapping[str, int], starts_per_second: float
) -> Schedule:
    """Return when items run: the first one in the order whose type has free instances starts next.

    At most `max_concurrency` items run. A type without a quota has no limit.

    Raises:
        ValueError: if an item needs more instances than its type's quota.
    """
    for item in items:
        if item.instances > quotas.get(item.instance_type, item.instances):
            raise ValueError(
                f"{item.instances} instances of {item.instance_type}, whose quota is {quotas[item.instance_type]}"
            )
    starts = [0.0] * len(items)
    waiting: dict[str, deque[int]] = {}
    for number, item in enumerate(items):
        waiting.setdefault(item.instance_type, deque()).append(number)
    used = dict.fromkeys(waiting, 0)
    peaks = dict.fromkeys(waiting, 0)
    ends: list[tuple[float, int]] = []
    now = next_start = makespan = 0.0
    places, pause = max_concurrency, 1 / starts_per_second
    while True:
        while places and (index := _next(items, waiting, used, quotas)) is not None:
            item = items[index]
            waiting[item.instance_type].popleft()
            used[item.instance_type] += item.instances
            peaks[item.instance_type] = max(peaks[item.instance_type], used[item.instance_type])
            start = max(now, next_start)
            next_start = start + pause
            starts[index] = start
            makespan = max(makespan, start + item.seconds)
            heapq.heappush(ends, (start + item.seconds, index))
            places -= 1
        if not ends:
            return Schedule(tuple(starts), makespan, peaks)
        now, ended = heapq.heappop(ends)
        used[items[ended].instance_type] -= items[ended].instances
        places += 1


def _next(
    items: Sequence[Item], waiting: Mapping[str, deque[int]], used: Mapping[str, int], quotas: Mapping[str, int]
) -> int | None:
    """Return the first item of the order that can start now."""
    found: int | None = None
    for name, queue in waiting.items():
        if queue and (found is None or queue[0] < found):
            quota = quotas.get(name)
            if quota is None or used[name] + items[queue[0]].instances <= quota:
                found = queue[0]
    return found
