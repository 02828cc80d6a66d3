"""Times of the cron(), rate() and at() expressions of EventBridge Scheduler.

Cron and at() expressions are local times in the schedule's time zone. As EventBridge Scheduler
documents, a local time that clocks skip in spring is skipped. A local time that clocks
show twice in autumn fires once; this module returns the first.
"""

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from contract.problems import InvalidInputError, Problem

FIRST_YEAR, LAST_YEAR = 1970, 2199
_WHOLE = re.compile(r"(?P<kind>cron|rate|at)\((?P<body>[^()]*)\)")
_RATE = re.compile(r"(?P<count>[1-9]\d{0,5}) (?P<unit>minute|hour|day)s?")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MAX_DIGITS = 9
_AT_FORM = "%Y-%m-%dT%H:%M:%S"
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}

DayRule = Callable[[date], bool]


@dataclass(frozen=True)
class At:
    """Fires once, at a local time."""

    local: datetime

    def times_after(self, after: datetime, zone: ZoneInfo, created: datetime) -> Iterator[datetime]:
        moment = _instant(self.local, zone)
        if moment is not None and moment > after:
            yield moment


@dataclass(frozen=True)
class Rate:
    """Fires at a fixed interval from the schedule's creation, independent of clock changes."""

    every: timedelta

    def times_after(self, after: datetime, zone: ZoneInfo, created: datetime) -> Iterator[datetime]:
        passed = (after - created) // self.every + 1
        moment = created + max(0, passed) * self.every
        while moment.year <= LAST_YEAR:
            yield moment
            moment += self.every


@dataclass(frozen=True)
class Cron:
    """Fires at every local time that its fields name. The fields are sorted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    day_rules: tuple[DayRule, ...]
    """Rules for days; a day matches if any rule matches."""

    def times_after(self, after: datetime, zone: ZoneInfo, created: datetime) -> Iterator[datetime]:
        for local in self.local_times(after.astimezone(zone).replace(tzinfo=None)):
            moment = _instant(local, zone)
            if moment is not None and moment > after:
                yield moment

    def local_times(self, since: datetime) -> Iterator[datetime]:
        """Yield the local times that the fields name, from `since` on, without a time zone."""
        for day in self._days(since.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    moment = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a local time
                    if moment >= since:
                        yield moment

    def _days(self, since: date) -> Iterator[date]:
        for year in self.years:
            if year < since.year:
                continue
            for month in self.months:
                for number in range(1, calendar.monthrange(year, month)[1] + 1):
                    day = date(year, month, number)
                    if day >= since and any(rule(day) for rule in self.day_rules):
                        yield day


Expression = At | Rate | Cron


def parse_expression(field: str, text: str) -> Expression:
    """Parse an expression; `field` names it in problems.

    >>> parse_expression("expression", "rate(6 hours)")
    Rate(every=datetime.timedelta(seconds=21600))

    Raises:
        InvalidInputError: with every part that EventBridge Scheduler would refuse.
    """
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        expected = (
            "cron(minutes hours day-of-month month day-of-week year), rate(value unit) or at(yyyy-mm-ddThh:mm:ss)"
        )
        raise InvalidInputError("schedule", [Problem(field, text, expected)])
    body = found["body"].strip()
    if found["kind"] == "cron":
        return _parse_cron(field, text, body.split())
    return _parse_rate(field, text, body) if found["kind"] == "rate" else _parse_at(field, text, body)


def next_time(
    expression: Expression, zone: ZoneInfo, after: datetime, created: datetime | None = None
) -> datetime | None:
    """Return the next time after `after`, in UTC, at which the expression fires; else None.

    A rate counts from `created`, the schedule's creation time, or else from `after`.

    >>> noon = parse_expression("expression", "cron(0 12 ? * MON-FRI *)")
    >>> next_time(noon, ZoneInfo("Europe/Berlin"), datetime(2026, 7, 3, 12, tzinfo=UTC)).isoformat()
    '2026-07-06T10:00:00+00:00'
    """
    moment = next(expression.times_after(after, zone, created or after), None)
    return None if moment is None else moment.astimezone(UTC)


def _instant(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first moment at which clocks in the zone show this time; None if they skip it."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == local else None


def _parse_rate(field: str, text: str, body: str) -> Rate:
    found = _RATE.fullmatch(" ".join(body.split()))
    if found is None:
        expected = (
            "rate(value unit) with a whole number from 1 to 999999 and minutes, hours or days, such as rate(6 hours)"
        )
        raise InvalidInputError("schedule", [Problem(field, text, expected)])
    return Rate(int(found["count"]) * _UNITS[found["unit"]])


def _parse_at(field: str, text: str, body: str) -> At:
    try:
        return At(datetime.strptime(body, _AT_FORM))  # noqa: DTZ007 - a local time of the schedule's zone
    except ValueError as error:
        expected = "at(yyyy-mm-ddThh:mm:ss) with a date and time that exist, without a time zone"
        raise InvalidInputError("schedule", [Problem(field, text, expected)]) from error


def _parse_cron(field: str, text: str, parts: list[str]) -> Cron:
    if len(parts) != 6:
        expected = "six fields: cron(minutes hours day-of-month month day-of-week year)"
        raise InvalidInputError("schedule", [Problem(field, text, expected)])
    minutes, hours, month_days, months, weekdays, years = (part.upper() for part in parts)
    problems: list[Problem] = []

    def numbers(name: str, part: str, low: int, high: int, names: dict[str, int] | None = None) -> tuple[int, ...]:
        try:
            return _numbers(part, low, high, names or {})
        except ValueError as error:
            problems.append(Problem(field, text, f"{name} as {error}"))
            return ()

    if (month_days == "?") == (weekdays == "?"):
        problems.append(Problem(field, text, "? in exactly one of day-of-month and day-of-week"))
    days: tuple[DayRule, ...] = ()
    try:
        days = _month_day_rules(month_days) if weekdays == "?" else _weekday_rules(weekdays)
    except ValueError as error:
        name = "day-of-month" if weekdays == "?" else "day-of-week"
        problems.append(Problem(field, text, f"{name} as {error}"))
    cron = Cron(
        minutes=numbers("minutes", minutes, 0, 59),
        hours=numbers("hours", hours, 0, 23),
        months=numbers("month", months, 1, 12, _MONTHS),
        years=numbers("year", years, FIRST_YEAR, LAST_YEAR),
        day_rules=days,
    )
    if problems:
        raise InvalidInputError("schedule", problems)
    return cron


def _numbers(part: str, low: int, high: int, names: dict[str, int]) -> tuple[int, ...]:
    """Return the numbers that a field names.

    Raises:
        ValueError: with what was expected.
    """
    example = f", or {'/'.join(list(names)[:2])}/…" if names else ""
    expected = f"numbers from {low} to {high}{example} with , - * /; got {part!r}"
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, names, expected)
            end = _number(last, names, expected) if dash else high if slash else start
        every = _number(step, {}, expected) if slash else 1
        if not low <= start <= end <= high or every < 1:
            raise ValueError(expected)
        found.update(range(start, end + 1, every))
    return tuple(sorted(found))


def _number(text: str, names: dict[str, int], expected: str) -> int:
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise ValueError(expected)
    return int(text)


def _month_day_rules(part: str) -> tuple[DayRule, ...]:
    rules: list[DayRule] = []
    plain: list[str] = []
    for item in part.split(","):
        if item == "L":
            rules.append(_is_last_day)
        elif item == "LW":
            rules.append(_is_last_working_day)
        elif item.endswith("W"):
            number = _number(item[:-1], {}, f"a day with W, such as 15W; got {item!r}")
            if not 1 <= number <= 31:
                raise ValueError(f"a day from 1 to 31 with W; got {item!r}")
            rules.append(partial(_is_working_day_nearest, number))
        else:
            plain.append(item)
    if plain:
        days = frozenset(_numbers(",".join(plain), 1, 31, {}))
        rules.append(lambda day: day.day in days)
    return tuple(rules)


def _weekday_rules(part: str) -> tuple[DayRule, ...]:
    rules: list[DayRule] = []
    plain: list[str] = []
    for item in part.split(","):
        weekday, hash_sign, count = item.partition("#")
        if hash_sign:
            expected = f"a weekday and which one of the month, such as 6#3; got {item!r}"
            number, which = _number(weekday, _WEEKDAYS, expected), _number(count, {}, expected)
            if not (1 <= number <= 7 and 1 <= which <= 5):
                raise ValueError(expected)
            rules.append(partial(_is_nth_weekday, number, which))
        elif item == "L":
            plain.append("SAT")  # The last day of every week; 6L is the last Friday of the month.
        elif item.endswith("L"):
            expected = f"L, or a weekday with L such as 6L; got {item!r}"
            number = _number(item[:-1], _WEEKDAYS, expected)
            if not 1 <= number <= 7:
                raise ValueError(expected)
            rules.append(partial(_is_last_weekday, number))
        else:
            plain.append(item)
    if plain:
        weekdays = frozenset(_numbers(",".join(plain), 1, 7, _WEEKDAYS))
        rules.append(lambda day: _weekday(day) in weekdays)
    return tuple(rules)


def _weekday(day: date) -> int:
    """Return the weekday as cron counts it: 1 is Sunday, 7 is Saturday."""
    return day.isoweekday() % 7 + 1


def _month_length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _is_last_day(day: date) -> bool:
    return day.day == _month_length(day)


def _is_last_working_day(day: date) -> bool:
    last = day.replace(day=_month_length(day))
    return day == last - timedelta(days=max(0, last.isoweekday() - 5))


def _is_working_day_nearest(number: int, day: date) -> bool:
    """Tell whether a day is the working day (Monday to Friday) of its month that is nearest to this
    day number."""
    length = _month_length(day)
    if number > length:
        return False
    wanted = day.replace(day=number)
    if wanted.isoweekday() == 6:
        wanted += timedelta(days=-1 if number > 1 else 2)
    elif wanted.isoweekday() == 7:
        wanted += timedelta(days=1 if number < length else -2)
    return day == wanted


def _is_nth_weekday(weekday: int, which: int, day: date) -> bool:
    return _weekday(day) == weekday and (day.day - 1) // 7 + 1 == which


def _is_last_weekday(weekday: int, day: date) -> bool:
    return _weekday(day) == weekday and day.day + 7 > _month_length(day)
