"""How much of an execution may fail before it starts no new jobs. Pure functions.

There are three levels: jobs, objects and rows. Each is a share of the whole execution as it was
planned, so that a few early failures of a large execution count little.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from contract.status import ExecutionKind, FailureKind, JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import ExecutionPlan


@dataclass(frozen=True)
class Tally:
    """What jobs that have ended add up to."""

    failed_jobs: int = 0
    """Failed jobs that are not split."""
    failed_split_jobs: frozenset[str] = frozenset()
    """Ids of split jobs with a failed part, so that several failed parts count once."""
    failed_objects: int = 0
    """Objects that failed jobs have not committed. Objects count once per model, here and below."""
    scored_objects: int = 0
    """Objects of the jobs that succeeded."""
    rows_in: int = 0
    """Rows of the jobs that succeeded."""
    rows_quarantined: int = 0

    def __bool__(self) -> bool:
        return self != Tally()


NOTHING = Tally()
"""What a job adds that says nothing about the tolerance."""


def limits_failures(plan: ExecutionPlan | None) -> bool:
    """Return whether a level can be passed at all."""
    return plan is not None and min(_percentages(plan)) < 100


def tally_of(job: JobRecord) -> Tally:
    """Return what a job or a part that has ended adds to the tally.

    A job that was stopped adds nothing: that says nothing about data or models.
    """
    is_scoring = job.kind is ExecutionKind.SCORING
    if job.status is JobStatus.SUCCEEDED and is_scoring:
        return Tally(scored_objects=job.objects_pinned, rows_in=job.rows_in, rows_quarantined=job.rows_quarantined)
    if job.status is not JobStatus.FAILED or job.failure_kind is FailureKind.STOPPED:
        return NOTHING
    return Tally(
        failed_jobs=0 if job.part else 1,
        failed_split_jobs=frozenset({job.part.job_id} if job.part else ()),
        failed_objects=job.objects_pinned - job.commits if is_scoring else 0,
    )


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    sums = {field.name: 0 for field in fields(Tally) if field.name != "failed_split_jobs"}
    split: set[str] = set()
    for tally in tallies:
        split |= tally.failed_split_jobs
        for name in sums:
            sums[name] += getattr(tally, name)
    return Tally(failed_split_jobs=frozenset(split), **sums)


def passed_level(plan: ExecutionPlan, tally: Tally) -> str:
    """Return the first level that is passed, with its numbers; empty if none is.

    >>> plan = ExecutionPlan("e", "b", "k", 20, 5, tolerated_failure_percentage=10.0, object_count=20)
    >>> passed_level(plan, Tally(failed_jobs=2))
    ''
    >>> passed_level(plan, Tally(failed_jobs=3))
    'jobs: 3 of 20 have failed, tolerated_failure_percentage is 10'
    """
    jobs, objects, rows = _percentages(plan)
    failed_jobs = tally.failed_jobs + len(tally.failed_split_jobs)
    if failed_jobs * 100 > jobs * plan.job_count:
        return f"jobs: {failed_jobs:,} of {plan.job_count:,} have failed, tolerated_failure_percentage is {jobs:g}"
    if tally.failed_objects * 100 > objects * plan.object_count:
        return (
            f"objects: {tally.failed_objects:,} of {plan.object_count:,} have failed (an object counts once per "
            f"model), tolerated_failed_objects_percentage is {objects:g}"
        )
    # How many rows the other objects have is known when they are scored, so the mean stands for them.
    all_rows = tally.rows_in * plan.object_count / tally.scored_objects if tally.scored_objects else 0
    if tally.rows_quarantined * 100 > rows * all_rows:
        about = "" if tally.scored_objects == plan.object_count else "about "
        return (
            f"rows: {tally.rows_quarantined:,} of {about}{round(all_rows):,} are in quarantine, "
            f"tolerated_quarantined_rows_percentage is {rows:g}"
        )
    return ""


def _percentages(plan: ExecutionPlan) -> tuple[float, float, float]:
    return (
        plan.tolerated_failure_percentage,
        plan.tolerated_failed_objects_percentage,
        plan.tolerated_quarantined_rows_percentage,
    )
