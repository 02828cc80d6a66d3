"""Simulate an execution: places, quotas, the pace of the API, start-ups, noise, failures and retries."""

import heapq
import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.planning.simulation.scenarios import (
    BYTES_PER_ROW,
    BYTES_PER_SECOND,
    PRICES,
    REGION,
    STARTUP_SECONDS,
    Draw,
    TrueModel,
)
from contract.planner.instances import size_of
from contract.planner.plan import CapacityPlan


class Item(NamedTuple):
    """What the Map runs: a job, or a part of a split job."""

    instance_type: str
    instances: int
    seconds: float
    """Median time of the slowest instance, without its start."""


@dataclass(frozen=True)
class Noise:
    """How uncertain an execution is."""

    startup: float = 0.2
    """Standard deviation of the logarithm of the start-up."""
    work: float = 0.1
    """The same of the rest of an attempt."""
    slow_share: float = 0.01
    """Share of attempts on a slow machine, which take half as long again."""
    failure_share: float = 0.01
    """Share of attempts that fail, at any moment of their work."""
    attempts: int = 3
    retry_wait: float = 30.0
    """Seconds before another attempt."""
    starts_per_second: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What an execution took."""

    makespan: float
    """Seconds."""
    cost: float
    """US dollars, of failed attempts too."""
    attempts: int
    failed_jobs: int


def planned_items(draw: Draw, plan: CapacityPlan) -> list[Item]:
    """Return the items of a plan with their true times, in the order in which they are expected to start."""
    true = {model.work.model_id: model for models in draw.models.values() for model in models}
    items: list[tuple[float, Item]] = []
    for job in plan.jobs:
        models = [true[name] for name in job.models]
        seconds = [busy_seconds(models, job.instance_type, size) for size in job.shard_bytes]
        if job.is_split:
            parts = [Item(job.instance_type, 1, each) for each in seconds]
        else:
            parts = [Item(job.instance_type, job.instance_count, max(seconds))]
        items += zip(job.starts, parts, strict=True)
    return [item for _, item in sorted(items, key=lambda pair: pair[0])]


def packed_items(draw: Draw, models_per_job: int, instance_type: str = "ml.m5.xlarge") -> list[Item]:
    """Return the items of jobs with a fixed number of models, each on one instance, longest first."""
    items = []
    for name, models in draw.models.items():
        total = draw.datasets[name].total
        for start in range(0, len(models), models_per_job):
            seconds = busy_seconds(models[start : start + models_per_job], instance_type, total)
            items.append(Item(instance_type, 1, seconds))
    return sorted(items, key=lambda item: -item.seconds)


def busy_seconds(models: Sequence[TrueModel], instance_type: str, shard_bytes: float) -> float:
    """Return the median time of an instance without its start."""
    vcpus = vcpus_of(instance_type)
    moved = shard_bytes + sum(model.work.artifact_bytes for model in models)
    rows = shard_bytes / BYTES_PER_ROW
    work = rows * sum(1 / model.rows_per_second for model in models) / vcpus
    return moved / BYTES_PER_SECOND + sum(model.load_seconds for model in models) + work


def simulate(
    items: Sequence[Item], *, max_concurrency: int, quotas: Mapping[str, int], noise: Noise, rng: random.Random
) -> Outcome:
    """Run the items in their order.

    An item keeps its place of the Map while it waits for instances or for its next attempt. Items
    wait for instances of their type in the order in which they asked.
    """
    free = dict(quotas)
    waiting: dict[str, deque[tuple[int, int]]] = {name: deque() for name in quotas}
    events: list[tuple[float, int, int, int, bool]] = []
    now = next_start = makespan = cost = 0.0
    attempts = failed_jobs = index = 0
    places, pause = max_concurrency, 1 / noise.starts_per_second
    while True:
        while places and index < len(items):
            waiting[items[index].instance_type].append((index, 1))
            index, places = index + 1, places - 1
        for name, queue in waiting.items():
            while queue and items[queue[0][0]].instances <= free[name]:
                number, attempt = queue.popleft()
                item = items[number]
                free[name] -= item.instances
                start = max(now, next_start)
                next_start = start + pause
                seconds, fails = _attempt(item, noise, rng)
                cost += seconds * item.instances * usd_per_second(name)
                attempts += 1
                heapq.heappush(events, (start + seconds, number, attempt, 1, fails))
        if not events:
            return Outcome(makespan, cost, attempts, failed_jobs)
        now, number, attempt, released, fails = heapq.heappop(events)
        item = items[number]
        if not released:
            waiting[item.instance_type].append((number, attempt))
            continue
        makespan = max(makespan, now)
        free[item.instance_type] += item.instances
        if fails and attempt < noise.attempts:
            heapq.heappush(events, (now + noise.retry_wait, number, attempt + 1, 0, False))
        else:
            failed_jobs += fails
            places += 1


def _attempt(item: Item, noise: Noise, rng: random.Random) -> tuple[float, bool]:
    """Return the seconds of an attempt, and whether it fails."""
    # A job starts when its slowest instance has started.
    startup = max(STARTUP_SECONDS * math.exp(rng.gauss(0, noise.startup)) for _ in range(item.instances))
    work = item.seconds * math.exp(rng.gauss(0, noise.work)) * (1.5 if rng.random() < noise.slow_share else 1)
    if rng.random() < noise.failure_share:
        return startup + work * rng.random(), True
    return startup + work, False


def vcpus_of(instance_type: str) -> int:
    """Return the vCPUs of a simulated type."""
    size = size_of(instance_type)
    return size.vcpus if size else 1


def usd_per_second(instance_type: str) -> float:
    """Return the price of a simulated type."""
    return (PRICES.usd_per_hour(REGION, "processing", instance_type) or 0.0) / 3_600
