"""What an execution has used, to compare with its plan. Pure functions, no I/O."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from contract.planner.figures import ActualFigures, PlanFigures
from contract.planner.problem import pool_name
from contract.table.records import AttemptRecord, JobRecord


def actual_figures(
    estimate: PlanFigures, jobs: Sequence[JobRecord], attempts: Iterable[AttemptRecord]
) -> ActualFigures | None:
    """Return what the attempts of the execution's jobs, and of parts of jobs, have used.

    An attempt counts from its opening to its end, which is some seconds longer than its SageMaker
    job. None if there is no job.
    """
    if not jobs:
        return None
    on_spot = {job.job_id for job in jobs if job.compute.spot}
    started, hours = 0, dict[str, float]()
    for attempt in attempts:
        # Without an object to score, no job was started.
        if attempt.object_count and attempt.ended_at:
            started += 1
            seconds = _seconds(attempt.started_at, attempt.ended_at)
            pool = pool_name(attempt.instance_type, spot=attempt.job_id in on_spot)
            hours[pool] = hours.get(pool, 0.0) + seconds * attempt.instance_count / 3_600
    has_prices = hours.keys() <= estimate.usd_per_hour.keys()
    ended = max((job.ended_at for job in jobs), default="")
    return ActualFigures(
        jobs=started,
        seconds=round(_seconds(min(job.created_at for job in jobs), ended), 1),
        instance_hours=round(sum(hours.values()), 6),
        cost=round(sum(hours[name] * estimate.usd_per_hour[name] for name in hours), 6) if has_prices else None,
    )


def _seconds(started_at: str, ended_at: str) -> float:
    if not started_at or not ended_at:
        return 0.0
    return max(0.0, (datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)).total_seconds())
