"""An execution's deadline: the time left, the expected end, and whether it is missed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.executions.execution_figures import ended_at, predicted_end
from cli.views.tables import exact_duration, shown_time
from contract.deadlines.lateness import Lateness, lateness_of
from contract.deadlines.predicted_end import PredictedEnd

_VERDICTS = {
    Lateness.LIKELY: "it will probably be missed",
    Lateness.CERTAIN: "it will be missed",
    None: "it will probably be kept",
}


@dataclass(frozen=True)
class Deadline:
    """A deadline as it looks when an execution is read."""

    at: datetime
    seconds_left: float
    """Time from the reading, or from the execution's end, to the deadline; negative once it has passed."""
    ended: bool
    predicted: PredictedEnd | None
    """None if the execution has ended, or if nothing tells."""
    lateness: Lateness | None
    """What is predicted now, or else what the record says; None if the deadline is kept."""


def deadline_of(snapshot: Snapshot) -> Deadline | None:
    """Return an execution's deadline; None if it has none."""
    record = snapshot.record
    if record is None or not record.deadline_at:
        return None
    at, end = datetime.fromisoformat(record.deadline_at), ended_at(snapshot)
    seconds_left = (at - (end or snapshot.read_at)).total_seconds()
    if snapshot.ended:
        return Deadline(at, seconds_left, True, None, Lateness.CERTAIN if seconds_left < 0 else None)
    predicted = predicted_end(snapshot)
    lateness = lateness_of(predicted, at, snapshot.read_at)
    if predicted is None and lateness is None:
        lateness = record.lateness
    return Deadline(at, seconds_left, False, predicted, lateness)


def deadline_line(snapshot: Snapshot) -> str:
    """Return one sentence about the deadline; empty if there is none."""
    found = deadline_of(snapshot)
    if found is None:
        return ""
    begin, distance = f"Deadline {shown_time(found.at.isoformat())}", exact_duration(abs(found.seconds_left))
    if found.ended:
        return f"{begin}: missed by {distance}" if found.lateness else f"{begin}: kept, {distance} before it"
    left = f"{distance} left" if found.seconds_left >= 0 else f"{distance} ago"
    if found.predicted is None and found.lateness is None:
        return f"{begin}, {left}"
    verdict = _VERDICTS[found.lateness] if found.seconds_left >= 0 else "it is missed"
    return f"{begin}, {left}{_expected(found.predicted)}: {verdict}"


def deadline_json(snapshot: Snapshot) -> dict[str, Any] | None:
    """Return the deadline as JSON; None if there is none."""
    found = deadline_of(snapshot)
    if found is None:
        return None
    predicted = found.predicted
    return {
        "deadline_at": found.at.isoformat(),
        "seconds_left": found.seconds_left,
        "lateness": found.lateness.value if found.lateness else None,
        "expected_end": predicted.expected.isoformat() if predicted else None,
        "earliest_end": predicted.earliest.isoformat() if predicted else None,
        "latest_end": predicted.latest.isoformat() if predicted else None,
    }


def _expected(predicted: PredictedEnd | None) -> str:
    if predicted is None:
        return ""
    earliest, expected, latest = (
        shown_time(moment.isoformat()) for moment in (predicted.earliest, predicted.expected, predicted.latest)
    )
    return f", expected end {expected} (between {earliest} and {latest})"
