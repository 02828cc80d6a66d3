"""Compare a plan with the execution's deadline."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.planner.plan import CapacityPlan
from contract.planner.texts import band_text, duration_text
from contract.problems import Problem
from contract.workflow.scoring_request import ExecutionRequest

_LATER = "Move the deadline to a later time"


@dataclass(frozen=True)
class PlanTimes:
    """Times of an execution, in UTC."""

    started_at: datetime
    """Start of the execution, from which durations count."""
    planned_at: datetime
    """Start of its plan, from which its jobs are expected to run."""


def deadline_notes(plan: CapacityPlan, seconds_left: float) -> list[str]:
    """Return a note if the deadline may be missed."""
    seconds = plan.makespan
    if seconds.high <= seconds_left:
        return []
    if seconds_left <= 0:
        return [f"The deadline has passed. {_LATER}."]
    how = "may be missed" if seconds.value <= seconds_left else "is likely to be missed"
    took = f"the jobs take {band_text(seconds)}, and {duration_text(seconds_left)} is left"
    return [f"The deadline {how}: {took}. {_remedy(plan, seconds_left)}"]


def check_strict_deadline(
    request: ExecutionRequest, plan: CapacityPlan, deadline: datetime, planned_at: datetime
) -> list[Problem]:
    """Refuse a strict deadline that even the shortest expected duration does not meet."""
    seconds_left = (deadline - planned_at).total_seconds()
    if not request.strict_deadline or plan.makespan.low <= seconds_left:
        return []
    earliest = planned_at + timedelta(seconds=plan.makespan.value)
    expected = (
        f"a later time, because strict_deadline is set: the jobs take {band_text(plan.makespan)}, until about "
        f"{earliest:%Y-%m-%d %H:%M:%S} UTC"
    )
    return [Problem("deadline", request.deadline, expected, _remedy(plan, seconds_left))]


def _remedy(plan: CapacityPlan, seconds_left: float) -> str:
    """Return the first alternative that meets the deadline, or else the fastest one."""
    if seconds_left <= 0:
        return f"{_LATER}."
    faster = [item for item in plan.alternatives if item.makespan_seconds < plan.makespan.value]
    meeting = [item for item in faster if item.makespan_seconds <= seconds_left]
    if faster:
        best = (meeting or sorted(faster, key=lambda item: item.makespan_seconds))[0]
        change = f"{best.change[:1].upper()}{best.change[1:]}"
        end = "." if meeting else ", which is still too long."
        return f"{change}: then it takes about {duration_text(best.makespan_seconds)}{end}"
    return f"{_LATER}, or score fewer models or objects."
