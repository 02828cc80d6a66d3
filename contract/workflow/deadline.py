"""Deadlines of requests: a time, or a duration from the start of the execution."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from contract.problems import Problem

MAX_DEADLINE_DAYS = 365
"""Longest duration of a deadline, in days: Step Functions ends an execution after a year."""

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION = re.compile(r"P(?=[0-9T])(?:([0-9]{1,3})D)?(?:T(?=[0-9])(?:([0-9]{1,4})H)?(?:([0-9]{1,6})M)?)?")
_EXPECTED = (
    "a time with its offset from UTC such as '2026-03-02T06:00:00+01:00', or a duration from the execution's start "
    "such as 'PT6H' (six hours), 'PT90M' or 'P1DT12H'"
)


@dataclass(frozen=True)
class DeadlineText:
    """Check of a deadline as requests have it."""

    json_type: Literal["string"] = "string"

    def problems(self, field: str, value: str | None) -> list[Problem]:
        if value is None:
            return []
        if _TIME.fullmatch(value):
            return [] if _read_time(value) else [Problem(field, value, f"{_EXPECTED}; there is no such time")]
        duration = _read_duration(value)
        if duration is None:
            return [Problem(field, value, _EXPECTED)]
        if not timedelta() < duration <= timedelta(days=MAX_DEADLINE_DAYS):
            return [Problem(field, value, f"a duration of more than zero and at most {MAX_DEADLINE_DAYS} days")]
        return []

    def keywords(self) -> dict[str, Any]:
        return {"pattern": f"^(?:{_TIME.pattern}|{_DURATION.pattern})$"}


def is_time(deadline: str) -> bool:
    """Return whether a valid deadline is a time, which passes once, and no duration.

    >>> is_time("2026-03-02T06:00:00Z"), is_time("PT6H")
    (True, False)
    """
    return not deadline.startswith("P")


def deadline_time(deadline: str, started_at: datetime) -> datetime:
    """Return the time of a valid deadline, in UTC. Durations count from `started_at`.

    >>> deadline_time("PT1H30M", datetime(2026, 3, 1, 22, tzinfo=UTC)).isoformat()
    '2026-03-01T23:30:00+00:00'

    Raises:
        ValueError: when the deadline is not valid.
    """
    duration = _read_duration(deadline)
    if duration is not None:
        return (started_at + duration).astimezone(UTC)
    return datetime.fromisoformat(deadline).astimezone(UTC)


def _read_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read_duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)
