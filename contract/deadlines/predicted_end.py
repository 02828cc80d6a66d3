"""Predict when a running execution ends, from its plan and its progress. Pure functions."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from contract.planner.estimates import DEFAULT_STARTUP_SECONDS, MAX_SAMPLES, Estimate, summarize
from contract.status import FINAL_JOB_STATUSES, JobStatus

_UNKNOWN_FACTOR = Estimate(1.0, 0.5, 2.0)
"""Duration of jobs, as a multiple of the expected one, when there is no plan's band and no job has ended."""
_LEAST_SHARE_LEFT = 0.25
"""Least time that a job without any progress still takes, as a share of what it has taken."""


@dataclass(frozen=True)
class JobProgress:
    """What is known about a job, or about a part of a split job."""

    status: JobStatus
    expected_seconds: float
    """Duration that the plan expects, from the creation of a SageMaker job to its end; 0 if unknown."""
    seconds: float
    """Time from the first attempt's start to the job's end, or to now; 0 before an attempt."""
    share: float = 0.0
    """Share of its objects that are committed, from 0 to 1; 0 if unknown."""
    waits_for_instances: bool = False
    """Whether it asks for instances and gets none, because a quota is used up."""


@dataclass(frozen=True)
class PredictedEnd:
    """Times at which an execution may end."""

    earliest: datetime
    """End if everything goes as fast as the fastest tenth."""
    expected: datetime
    latest: datetime
    """End if everything goes as slowly as the slowest tenth."""


def predict_end(
    jobs: Sequence[JobProgress], max_concurrency: int, now: datetime, planned: Estimate | None = None
) -> PredictedEnd | None:
    """Return when an execution with these jobs ends; None if nothing is known about the open ones.

    Jobs that have ended tell how much faster or slower jobs are than expected. Before the first one,
    the band of `planned`, the plan's duration of the execution, does. The more of a running job is
    committed, the more its own pace counts. The rest is scheduled on `max_concurrency` places, the
    longest job first. While a job waits for instances, others use the quota: then the execution is
    expected to keep the places that it has, and to get more only for the earliest end.
    """
    open_jobs = [job for job in jobs if job.status not in FINAL_JOB_STATUSES]
    expect = _expectation(jobs)
    if open_jobs and expect is None:
        return None
    factor = _factor(jobs, planned)
    places = max_concurrency
    if any(job.waits_for_instances for job in open_jobs):
        places = min(max_concurrency, max(1, sum(job.seconds > 0 for job in open_jobs)))

    def end(multiple: float, places: int) -> datetime:
        if expect is None:
            return now
        running = [_seconds_left(job, multiple * expect(job)) for job in open_jobs if job.seconds > 0]
        waiting = [multiple * expect(job) * (1 - job.share) for job in open_jobs if job.seconds <= 0]
        waiting.sort(reverse=True)
        return now + timedelta(seconds=makespan(running, waiting, places))

    return PredictedEnd(end(factor.low, max_concurrency), end(factor.value, places), end(factor.high, places))


def makespan(running: Sequence[float], waiting: Sequence[float], places: int) -> float:
    """Return when the last job ends: all `running` ones hold a place, `waiting` ones take the next that is free.

    >>> makespan([5.0], [4.0, 3.0, 3.0], 2)
    8.0
    """
    last = max(running, default=0.0)
    free = [0.0] * min(max(0, places - len(running)), len(waiting))
    # Places above the limit are not used again. Jobs that end later free those that are left.
    ends = sorted([*running, *free])[max(0, len(running) - max(places, 1)) :]
    for seconds in waiting:
        end = ends[0] + seconds
        heapq.heapreplace(ends, end)
        last = max(last, end)
    return last


def _expectation(jobs: Sequence[JobProgress]) -> Callable[[JobProgress], float] | None:
    """Return what gives a job's expected seconds: the plan's, else the median of the others; None if there is none."""
    known = [job.expected_seconds for job in jobs if job.expected_seconds > 0]
    known = known or [job.seconds for job in jobs if job.status is JobStatus.SUCCEEDED and job.seconds > 0]
    if not known:
        return None
    usual = median(known)
    return lambda job: job.expected_seconds or usual


def _factor(jobs: Sequence[JobProgress], planned: Estimate | None) -> Estimate:
    """Return how long jobs take, as a multiple of what is expected."""
    found = sorted(
        job.seconds / job.expected_seconds
        for job in jobs
        if job.status is JobStatus.SUCCEEDED and job.expected_seconds > 0 and job.seconds > 0
    )
    if found:
        step = max(1, -(-len(found) // MAX_SAMPLES))
        return summarize(found[::step])
    if planned is None or planned.value <= 0:
        return _UNKNOWN_FACTOR
    return Estimate(1.0, min(1.0, planned.low / planned.value), max(1.0, planned.high / planned.value))


def _seconds_left(job: JobProgress, total: float) -> float:
    """Return what a running job still takes, if jobs like it take `total` seconds."""
    left = max(0.0, total - job.seconds)
    if job.share <= 0:
        return max(left, _LEAST_SHARE_LEFT * job.seconds)
    share = min(job.share, 1.0)
    scoring = job.seconds - min(DEFAULT_STARTUP_SECONDS.value, job.seconds / 2)
    # At its own pace it takes scoring * (1 - share) / share, which counts by the share.
    return (1 - share) * (scoring + left)
