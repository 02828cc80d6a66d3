"""Slots: the hours, days, weeks or months of a time span, and the placeholders that name them.

Backfills name one dataset per slot. Schedules fill the placeholders of their requests with the
scheduled time. Weeks are ISO weeks: they begin on Monday, and the first one of a year is that with
its first Thursday.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal, get_args

from contract.problems import InvalidInputError, Problem

Period = Literal["hour", "day", "week", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)
PLACEHOLDERS = {"date": "%Y-%m-%d", "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "week": "%G-w%V"}
"""strftime formats by placeholder. That of a week has the year to which ISO 8601 counts the week."""
_KNOWN = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
_STAMPS: dict[Period, str] = {"hour": "%Y%m%dT%H", "day": "%Y%m%d", "week": "%Gw%V", "month": "%Y%m"}
_TIME_FORMS: tuple[tuple[str, Period], ...] = (
    ("%Y-%m-%dT%H", "hour"),
    ("%Y-%m-%dT%H:00", "hour"),
    ("%Y-%m-%d", "day"),
    ("%G-w%V-%u", "week"),
    ("%Y-%m", "month"),
)
_TIME = re.compile(r"[0-9]{4}-(?:[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2}(?::00)?)?)?|[wW][0-9]{2})")
_YEARS = range(1900, 3000)


@dataclass(frozen=True)
class Span:
    """A time span without a zone: from `start` up to, but without, `end`."""

    start: datetime
    end: datetime


def read_time(field: str, text: str) -> Span:
    """Return the hour, day, ISO week or month that a text names.

    >>> read_time("to", "2026-02").end
    datetime.datetime(2026, 3, 1, 0, 0)

    Raises:
        InvalidInputError: when the text has another form, or the time does not exist.
    """
    if _TIME.fullmatch(text):
        for form, period in _TIME_FORMS:
            try:
                # strptime reads a week only with one of its days.
                start = datetime.strptime(text.lower() + "-1" if period == "week" else text, form)  # noqa: DTZ007
            except ValueError:
                continue
            # strptime takes a week 53 of years that have 52.
            is_whole = period != "week" or start.strftime(PLACEHOLDERS["week"]) == text.lower()
            if is_whole and start.year in _YEARS:
                return Span(start, _next(start, period))
    expected = (
        "a date such as 2026-01-31, an hour such as 2026-01-31T06, an ISO week such as 2026-w05, or a month such as "
        f"2026-01, in the years {_YEARS.start} to {_YEARS.stop - 1}"
    )
    raise InvalidInputError("time", [Problem(field, text, expected)])


def slots(span: Span, every: Period, zone: tzinfo) -> Iterator[datetime]:
    """Yield the start of each period that has some time in the span, as local time without a zone.

    Hours and days that a clock change of the zone skips are left out. An hour that comes twice is
    one slot.
    """
    start = _start(span.start, every)
    while start < span.end:
        if every in ("week", "month") or _exists(start, every, zone):
            yield start
        start = _next(start, every)


def slot_stamp(start: datetime, every: Period) -> str:
    """Return a text that is unique for each slot, for names of executions.

    >>> slot_stamp(datetime(2026, 12, 28), "week")
    '2026w53'
    """
    return start.strftime(_STAMPS[every])


def fill(template: str, moment: datetime) -> str:
    """Return the template with its placeholders filled in.

    >>> fill("sales-{year}-{month}", datetime(2026, 2, 3))
    'sales-2026-02'
    """
    return template.format(**{name: moment.strftime(form) for name, form in PLACEHOLDERS.items()})


def check_template(field: str, template: str, every: Period | None = None) -> list[Problem]:
    """Check that a template has known placeholders only, and those that fit the period."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        return [Problem(field, template, f"a dataset's name with {_KNOWN}")]
    names = [name for _, name, _, _ in parsed if name is not None]
    if not names or any(spec or conversion for _, _, spec, conversion in parsed) or set(names) - PLACEHOLDERS.keys():
        return [Problem(field, template, f"a dataset's name with at least one of {_KNOWN}")]
    if every == "hour" and "hour" not in names:
        return [Problem(field, template, "a name with {hour}, because there is one dataset per hour")]
    if every not in ("hour", None) and "hour" in names:
        remedy = "Add `--every hour`, or leave {hour} out."
        return [Problem(field, template, f"a name without {{hour}}, because there is one dataset per {every}", remedy)]
    if every == "month" and "week" in names:
        remedy = "Add `--every week`, or write {year}-{month}."
        return [Problem(field, template, "a name without {week}, because there is one dataset per month", remedy)]
    return []


def _start(moment: datetime, every: Period) -> datetime:
    """Return the start of the period that has this time."""
    if every == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def _next(start: datetime, every: Period) -> datetime:
    """Return the start of the next period."""
    if every == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}[every]


def _exists(start: datetime, every: Period, zone: tzinfo) -> bool:
    """Return whether the zone has some time of a local hour or day.

    Clock changes skip a half hour, an hour, or, where a country moved across the date line, a day.
    """
    if every == "day":
        return any(_exists(start + timedelta(hours=hours), "hour", zone) for hours in range(24))
    return any(_is_local_time(start + timedelta(minutes=minutes), zone) for minutes in (0, 30))


def _is_local_time(moment: datetime, zone: tzinfo) -> bool:
    local = moment.replace(tzinfo=zone)
    shown = datetime.fromtimestamp(local.timestamp(), zone)
    return shown.replace(tzinfo=None) == moment
