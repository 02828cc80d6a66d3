"""The ways to divide a group's work on one instance type, without those that another one beats."""

import math
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from contract.catalog.instance_types import MAX_INSTANCES
from contract.job.limits import MAX_COMMITS
from contract.planner.algorithm.work import GroupWork, Load, share_of

_STEP = 1.25
"""Factor between the numbers of jobs that are tried, from 8 on."""


_ROUNDS = (1, 2, 3, 4, 5, 6)
"""Numbers of jobs that an instance does one after another, for which the number of jobs leaves none idle."""


class Option(NamedTuple):
    """One way to divide the work. Times are in seconds, and those of average jobs."""

    jobs: int
    instances: int
    """Instances per job."""
    is_split: bool
    longest: float
    longest_high: float
    """90th percentile of the longest job."""
    mean: float
    """Time of a job with an average share of the models."""
    mean_high: float
    weight: float
    """Price of all instances, start-ups included: see `Machine.weight`."""
    instance_seconds: float


def options(work: GroupWork, quota: int | None, places: int) -> list[Option]:
    """Return the options from the shortest jobs to the cheapest, each cheaper than those before it.

    `places` is the number of instances that can run at once. An empty list means that the type
    cannot run the group.
    """
    kept: list[Option] = []
    found = sorted(_possible(work, quota, places), key=lambda option: (option.longest, option.weight, option.jobs))
    cheapest = math.inf
    for option in found:
        if option.weight < cheapest:
            kept.append(option)
            cheapest = option.weight
    in_time = [option for option in kept if option.longest_high <= work.group.max_runtime_seconds]
    return in_time or kept[:1]


def largest_job(work: GroupWork) -> int:
    """Return how many models of the group, or fixed jobs, can share a job; 0 if not even one."""
    group, models = work.group, len(work.loads)
    if group.is_fleet:
        return models
    by_commits = MAX_COMMITS // max(1, work.dataset.objects)
    if group.job_sizes:
        return min(1, by_commits)
    limit = min(models, group.fixed.models_per_job or models, group.max_models_per_job, by_commits)
    average = work.total.artifact_bytes / models
    by_memory = int(work.model_room / average) if average else models
    return min(limit, max(1, by_memory))


def fits(work: GroupWork, load: Load, shard_bytes: float) -> bool:
    """Return whether an instance can hold a shard and the models."""
    return work.disk_gb(load, shard_bytes) <= work.disk_limit_gb


def _possible(work: GroupWork, quota: int | None, places: int) -> Iterable[Option]:
    largest = largest_job(work)
    if not largest:
        return
    shares = cache(lambda jobs: share_of(work.total, 1 / jobs))
    for instances in _instance_counts(work, quota, places):
        longest_shard = work.dataset.longest(instances)
        is_split = work.is_split(instances)
        for jobs in _job_counts(work, largest, places, instances):
            load = shares(jobs)
            if not (work.group.is_given or fits(work, load, longest_shard)):
                continue
            together = 1 if is_split else instances
            longest = work.seconds(load, longest_shard, together)
            heaviest = longest
            if work.heaviest.row_seconds > load.row_seconds:
                heaviest = work.seconds(work.heaviest, longest_shard, together)
            each = work.value_seconds(load, work.dataset.total / instances) if is_split else longest.value
            seconds = each * jobs * instances
            yield Option(
                jobs=jobs,
                instances=instances,
                is_split=is_split,
                longest=max(longest.value, heaviest.value),
                longest_high=max(longest.high, heaviest.high),
                mean=longest.value,
                mean_high=longest.high,
                weight=seconds * work.machine.weight,
                instance_seconds=seconds,
            )


def _job_counts(work: GroupWork, largest: int, places: int, instances: int) -> list[int]:
    """Return numbers of jobs: few, then growing ones, and those that fill all places evenly."""
    models = len(work.loads)
    if work.group.is_fleet:
        return [1]
    fewest = math.ceil(models / largest)
    if work.group.fixed.models_per_job is not None:
        return [fewest]
    counts = {models, *(max(1, places * rounds // instances) for rounds in _ROUNDS)}
    count = fewest
    while count < models:
        counts.add(count)
        count = max(count + 1, math.ceil(count * _STEP) if count >= 8 else 0)
    return sorted(count for count in counts if fewest <= count <= models)


def _instance_counts(work: GroupWork, quota: int | None, places: int) -> list[int]:
    most = min(MAX_INSTANCES, max(1, work.dataset.objects), MAX_INSTANCES if quota is None else quota)
    fixed = work.group.fixed.instance_count
    if fixed is not None:
        wanted = min(fixed, max(1, work.dataset.objects))
        return [wanted] if wanted <= most else []
    counts = {places}
    count = 1
    while count <= most:
        counts.add(count)
        # A shard that takes a tenth of a start-up gets no shorter by more instances.
        if work.value_seconds(work.total, work.dataset.total / count) < 1.1 * work.machine.startup.value:
            break
        count = max(count + 1, math.ceil(count * _STEP) if count >= 8 else 0)
    return sorted(count for count in counts if 1 <= count <= most)
