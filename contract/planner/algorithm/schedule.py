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
    """Return when items run that start in their order, as soon as there is a place and instances.

    At most `max_concurrency` items have a place. An item with a place waits for instances of its
    type, behind the items before it that need the same type. A type without a quota has no limit.

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
    used: dict[str, int] = {}
    peaks: dict[str, int] = {}
    ends: list[tuple[float, int]] = []
    now = next_start = makespan = 0.0
    index, places = 0, max_concurrency
    pause = 1 / starts_per_second
    touched: set[str] = set()
    while index < len(items) or touched or ends:
        while places and index < len(items):
            instance_type = items[index].instance_type
            waiting.setdefault(instance_type, deque()).append(index)
            touched.add(instance_type)
            index, places = index + 1, places - 1
        # In the order of the items, so that the result does not depend on the order of a set.
        for instance_type in sorted(touched, key=lambda name: waiting[name][0] if waiting[name] else -1):
            queue, quota = waiting[instance_type], quotas.get(instance_type)
            while queue:
                item = items[queue[0]]
                held = used.get(instance_type, 0) + item.instances
                if quota is not None and held > quota:
                    break
                start = max(now, next_start)
                next_start = start + pause
                used[instance_type] = held
                peaks[instance_type] = max(held, peaks.get(instance_type, 0))
                starts[queue[0]] = start
                end = start + item.seconds
                makespan = max(makespan, end)
                heapq.heappush(ends, (end, queue.popleft()))
        touched.clear()
        if ends:
            now, ended = heapq.heappop(ends)
            item = items[ended]
            used[item.instance_type] -= item.instances
            places += 1
            if item.instance_type in waiting:
                touched.add(item.instance_type)
    return Schedule(tuple(starts), makespan, peaks)
