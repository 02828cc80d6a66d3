"""The reference of deadlines: an execution that knows all true times, is divided perfectly, and has the usual noise.

It uses nothing of the planner. What no execution can do, it cannot do either: a job scores one dataset with
at most as many models as may share a job, an object is scored by one model as a whole, jobs read their objects and
load their models, places and quotas are limited, and jobs are created one after another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.planning.simulation.execution import Noise, vcpus_of
from benchmarks.planning.simulation.scenarios import (
    BYTES_PER_ROW,
    BYTES_PER_SECOND,
    STARTUP_SECONDS,
    TYPES,
    Draw,
    TrueModel,
)
from contract.job.limits import MAX_MODELS_PER_JOB

SAFE_SHARE = 0.999
"""Share of the executions that end in time."""
_DRAWS = 1_000
_INSTANCES = (1, 2, 5, 10, 20, 50)
"""Numbers of instances that are tried, besides all. Fewer instances have fewer failures."""
_MOST_ROUNDS = 50

Floats = NDArray[np.float64]


def safe_time_bound(draw: Draw, noise: Noise) -> float:
    """Return the earliest end in seconds that the reference keeps in all but one of a thousand executions.

    It divides the work into equal jobs, of which each instance does as many. It tries different numbers of instances
    and of jobs per instance, and takes the best.
    """
    work = _Work(draw)
    most = min(draw.scenario.max_concurrency, sum(draw.scenario.quotas.values()))
    best = math.inf
    for instances in (*(number for number in _INSTANCES if number < most), most):
        pools = _pools(draw, instances)
        before, worse, rounds = math.inf, 0, 1
        # More jobs per instance make a repetition shorter, and cost start-ups.
        while worse < 2 and rounds <= _MOST_ROUNDS:
            end = _safe_end(work, pools, rounds, noise)
            worse = worse + 1 if before <= end < math.inf else 0
            before, best = min(before, end), min(best, end)
            rounds += max(1, rounds // 3)
    return best


@dataclass(frozen=True)
class _Pool:
    """The instances of one type."""

    vcpus: int
    instances: int


class _Work:
    """What there is to do."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._by_dataset = {
            name: draw.datasets[name].total / BYTES_PER_ROW * sum(1 / model.rows_per_second for model in models)
            for name, models in draw.models.items()
        }
        self.total = sum(self._by_dataset.values())
        """Seconds of one vCPU."""
        models = sum(map(len, draw.models.values()))
        self.largest_job = self.total / max(len(draw.models), math.ceil(models / MAX_MODELS_PER_JOB))
        """What a job can do at most: one dataset on average, or all models that may share a job."""

    def moving_seconds(self, jobs: int) -> float:
        """Return the time in which jobs read their objects and load their models, added up.

        The jobs of a dataset are divided by models and by objects, so that this is shortest.
        """
        found = 0.0
        for name, models in self._draw.models.items():
            share = max(1.0, jobs * self._by_dataset[name] / self.total)
            reading = self._draw.datasets[name].total / BYTES_PER_SECOND
            loading = sum(map(_load_seconds, models))
            fewest = max(1.0, share / self._draw.datasets[name].objects)
            by_models = min(max(math.sqrt(share * loading / reading), fewest), share, len(models))
            found += by_models * reading + share / by_models * loading
        return found

    @cached_property
    def indivisible(self) -> Floats:
        """Times of the largest instance for single objects with single models, longest first."""
        vcpus = max(map(vcpus_of, TYPES))
        times = []
        for name, models in self._draw.models.items():
            sizes = np.array(self._draw.objects[name], float)
            per_byte = np.array([1 / model.rows_per_second for model in models]) / BYTES_PER_ROW / vcpus
            loading = np.array([_load_seconds(model) for model in models])
            times.append((np.outer(per_byte + 1 / BYTES_PER_SECOND, sizes) + loading[:, None]).ravel())
        return np.sort(np.concatenate(times))[::-1]


def _load_seconds(model: TrueModel) -> float:
    return model.load_seconds + model.work.artifact_bytes / BYTES_PER_SECOND


def _pools(draw: Draw, instances: int) -> list[_Pool]:
    """Return the largest instances of the quotas."""
    pools = []
    for name in sorted(draw.scenario.quotas, key=vcpus_of, reverse=True):
        taken = min(instances, draw.scenario.quotas[name])
        if taken:
            pools.append(_Pool(vcpus_of(name), taken))
        instances -= taken
    return pools


def _safe_end(work: _Work, pools: Sequence[_Pool], rounds: int, noise: Noise) -> float:
    """Return the end that most executions keep, if each instance does as many jobs; infinite if it cannot be."""
    random = np.random.default_rng(1)
    ends, created = np.zeros(_DRAWS), 0
    for pool, jobs in zip(pools, _divide(work, pools, rounds), strict=True):
        if not len(jobs):
            return math.inf
        ends = np.maximum(ends, _ends(jobs, pool.instances, created, noise, random))
        created += pool.instances
    return float(np.quantile(ends, SAFE_SHARE, method="inverted_cdf"))


def _divide(work: _Work, pools: Sequence[_Pool], rounds: int) -> list[Floats]:
    """Return the median times of each pool's jobs without their start; none if single objects need longer."""

    def each(pool: _Pool, end: float) -> tuple[float, float]:
        """Return the work of a job in seconds of its instance, and the number of jobs per instance."""
        largest, equal = work.largest_job / pool.vcpus, end / rounds - STARTUP_SECONDS
        return (equal, rounds) if equal <= largest else (largest, end / (STARTUP_SECONDS + largest))

    def done(end: float) -> float:
        return sum(pool.vcpus * pool.instances * math.prod(each(pool, end)) for pool in pools)

    low = STARTUP_SECONDS * rounds
    high = low + (STARTUP_SECONDS + work.largest_job) * work.total / work.largest_job + work.total
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if done(middle) < work.total else (low, middle)
    counts = [math.ceil(pool.instances * each(pool, high)[1] - 1e-6) for pool in pools]
    moving = work.moving_seconds(sum(counts)) / sum(counts)
    divided = [np.full(count, each(pool, high)[0] + moving) for pool, count in zip(pools, counts, strict=True)]
    # Objects that take one model longer than a job are jobs of their own on the largest instances, and start first.
    alone = work.indivisible[work.indivisible > divided[0][0]]
    if len(alone):
        left = len(divided[0]) - len(alone)
        rest = divided[0].sum() - alone.sum()
        others = np.full(max(0, left), max(0.0, rest) / max(1, left))
        divided[0] = np.concatenate((alone, others)) if left >= 0 else np.empty(0)
    return divided


def _ends(jobs: Floats, instances: int, created: int, noise: Noise, random: np.random.Generator) -> Floats:
    """Return the ends of as many executions as are drawn: the next job starts when an instance is free."""
    times = _times(jobs, noise, random)
    # Other jobs have been created before.
    free = np.tile((created + np.arange(instances)) / noise.starts_per_second, (_DRAWS, 1))
    rows = np.arange(_DRAWS)
    for taken in times:
        free[rows, free.argmin(axis=1)] += taken
    return np.asarray(free.max(axis=1), float)


def _times(jobs: Floats, noise: Noise, random: np.random.Generator) -> Floats:
    """Return the times of the jobs, with failed attempts, in as many executions as are drawn; infinite if all fail."""
    medians = np.repeat(jobs[:, None], _DRAWS, axis=1)
    times, fails = _attempts(medians, noise, random)
    failed = np.nonzero(fails)
    for _ in range(noise.attempts - 1):
        again, fails = _attempts(medians[failed], noise, random)
        times[failed] += noise.retry_wait + again
        failed = failed[0][fails], failed[1][fails]
    times[failed] = math.inf
    return times


def _attempts(medians: Floats, noise: Noise, random: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the time of each attempt, and whether it fails: see `execution.simulate`."""
    shape = medians.shape
    startup = STARTUP_SECONDS * np.exp(random.normal(0, noise.startup, shape))
    slow = np.where(random.random(shape) < noise.slow_share, 1.5, 1.0)
    fails = random.random(shape) < noise.failure_share
    done = np.where(fails, random.random(shape), 1.0)
    return startup + medians * np.exp(random.normal(0, noise.work, shape)) * slow * done, fails
