"""Form the jobs of a candidate: the models of each, its shards, its volume and its time."""

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from contract.planner.algorithm.options import Option, fits, largest_job
from contract.planner.algorithm.shards import Shards
from contract.planner.algorithm.work import GroupWork, Load, add_up
from contract.planner.estimates import Estimate
from contract.planner.plan import JobCapacity


class FormedJob(NamedTuple):
    """A job, and the time of each item that the Map runs for it: itself, or its parts."""

    job: JobCapacity
    items: tuple[Estimate, ...]
    needed_gb: int
    """What its volume must hold. A job of which all is fixed may have less."""


def form_jobs(work: GroupWork, option: Option, default_volume_gb: int) -> list[FormedJob]:
    """Return the jobs of a piece of work; an empty list if some model fits on no volume, unless all is fixed."""
    shards = work.dataset.divide(option.instances, always=work.group.spot)
    bins: list[list[int]] = []
    loads: list[Load] = []
    for jobs in _growing(option.jobs, len(work.loads), work.group.is_fleet):
        bins = _share_models(work, jobs, max(shards.sizes))
        loads = [add_up([work.loads[index] for index in models]) for models in bins]
        if all(_holds(work, load, shards) for load in loads):
            break
    # Single models may take longer than allowed: a note says so. But each must fit on its volume.
    if not (work.group.is_given or all(fits(work, load, max(shards.sizes)) for load in loads)):
        return []
    return [_job(work, models, load, shards, default_volume_gb) for models, load in zip(bins, loads, strict=True)]


def _growing(jobs: int, models: int, is_fleet: bool) -> list[int]:
    if is_fleet:
        return [1]
    counts = [jobs]
    while counts[-1] < models:
        counts.append(min(models, max(counts[-1] + 1, counts[-1] * 5 // 4)))
    return counts


def _holds(work: GroupWork, load: Load, shards: Shards) -> bool:
    has_memory = work.group.is_fleet or load.models == 1 or load.artifact_bytes <= work.model_room
    largest = max(shards.sizes)
    in_time = work.seconds(load, largest, shards.together).high <= work.group.max_runtime_seconds
    return has_memory and in_time and fits(work, load, largest)


def _share_models(work: GroupWork, jobs: int, largest_shard: int) -> list[list[int]]:
    """Return the indexes of the models of each job, in jobs of about equal time.

    Models that are alike stay in their order. So do those of a fixed number per job, and fixed jobs.
    """
    count = len(work.loads)
    fixed = work.group.fixed.models_per_job
    if fixed is not None and not work.group.is_fleet and jobs == -(-count // min(fixed, largest_job(work))):
        size = min(fixed, largest_job(work))
        return [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    first = work.loads[0]
    if jobs >= count or all(load == first for load in work.loads):
        edges = [count * number // jobs for number in range(jobs + 1)]
        return [list(range(start, end)) for start, end in pairwise(edges) if end > start]
    most = max(largest_job(work), -(-count // jobs))
    rows = largest_shard / work.bytes_per_row.value / work.machine.size.vcpus
    rate = work.machine.download.value
    times = [load.row_seconds * rows + load.load_seconds + load.artifact_bytes / rate for load in work.loads]
    bins: list[list[int]] = [[] for _ in range(jobs)]
    loads = [(0.0, number) for number in range(jobs)]
    for index in sorted(range(count), key=lambda index: (-times[index], work.names[index])):
        time, number = heapq.heappop(loads)
        bins[number].append(index)
        if len(bins[number]) < most:
            heapq.heappush(loads, (time + times[index], number))
    return [sorted(models) for models in bins if models]


def _job(work: GroupWork, models: Sequence[int], load: Load, shards: Shards, default_volume_gb: int) -> FormedJob:
    largest = max(shards.sizes)
    longest = work.seconds(load, largest, shards.together)
    items = tuple(work.seconds(load, size) for size in shards.sizes) if shards.is_split else (longest,)
    busy = sum(item.value for item in items) * (1 if shards.is_split else len(shards.sizes))
    needed = work.disk_gb(load, largest)
    price = work.machine.usd_per_hour
    job = JobCapacity(
        group=work.group.name,
        models=tuple(name for index in models for name in work.names[index]),
        instance_type=work.machine.instance_type,
        instance_count=len(shards.sizes),
        is_split=shards.is_split,
        shard_bytes=shards.sizes,
        volume_gb=work.machine.size.disk_gb or work.group.fixed.volume_size_gb or max(default_volume_gb, needed),
        seconds=longest,
        starts=(0.0,) * len(items),
        instance_seconds=busy,
        rows=work.rows,
        spot=work.machine.spot,
        cost=None if price is None else price * busy / 3_600,
    )
    return FormedJob(job, items, needed)
