"""Slots and placeholders, compared with pandas and dateutil."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from dateutil.rrule import DAILY, HOURLY, MONTHLY, WEEKLY, rrule

from contract.problems import InvalidInputError
from contract.triggers.slots import PERIODS, Period, Span, check_template, fill, read_time, slot_stamp, slots

PANDAS = {"hour": "h", "day": "D", "week": "W-SUN", "month": "M"}
ALL = "{date} {year} {month} {day} {hour} {week}"
TURNS = ("2023-12-31", "2024-02-28", "2024-02-29", "2024-12-30", "2025-12-28", "2026-12-28", "2027-01-03", "2100-02-28")
"""Days around leap days, ends of months and years with 53 weeks."""


def span(since: str, until: str) -> Span:
    return Span(read_time("from", since).start, read_time("to", until).end)


def starts(since: str, until: str, every: Period, zone: str = "UTC") -> list[datetime]:
    return list(slots(span(since, until), every, ZoneInfo(zone)))


def texts(count: int) -> list[tuple[str, str]]:
    """Return random beginnings and ends, whose days lie around the turns of months and years."""
    chance, found = random.Random(7), []
    for _ in range(count):
        first = datetime.fromisoformat(chance.choice(TURNS)) + timedelta(hours=chance.randint(-100, 100))
        last = first + timedelta(hours=chance.randint(0, 2_000))
        found.append(tuple(f"{moment:{chance.choice(('%Y-%m-%d', '%Y-%m-%dT%H'))}}" for moment in (first, last)))
    return [(since, until) for since, until in found if span(since, until).start < span(since, until).end]


@pytest.mark.parametrize("every", PERIODS)
def test_slots_are_the_periods_of_pandas_and_dateutil(every: Period) -> None:
    for since, until in texts(60):
        whole = span(since, until)
        last = whole.end - timedelta(microseconds=1)
        found = starts(since, until, every)
        assert found == [
            item.start_time.to_pydatetime() for item in pd.period_range(whole.start, last, freq=PANDAS[every])
        ]
        frequency = {"hour": HOURLY, "day": DAILY, "week": WEEKLY, "month": MONTHLY}[every]
        assert found == list(rrule(frequency, dtstart=found[0], until=last))
        # The first one has the beginning.
        assert found[0] <= whole.start
        assert len(found) == 1 or whole.start < found[1]


@pytest.mark.parametrize("every", PERIODS)
def test_placeholders_are_those_of_pandas(every: Period) -> None:
    for since, until in texts(20):
        for moment in starts(since, until, every):
            stamp, calendar = pd.Timestamp(moment), pd.Timestamp(moment).isocalendar()
            expected = (
                f"{stamp.date()} {stamp.year} {stamp.month:02} {stamp.day:02} {stamp.hour:02} "
                f"{calendar.year}-w{calendar.week:02}"
            )
            assert fill(ALL, moment) == expected


@pytest.mark.parametrize(
    ("since", "until", "every", "count"),
    [
        ("2026-01-31", "2026-01-31", "hour", 24),
        ("2026-01-31T06", "2026-01-31T06", "hour", 1),
        ("2026-01-31T22", "2026-02-01", "hour", 26),
        ("2024-02-01", "2024-02-29", "day", 29),
        ("2024-02", "2024-02", "day", 29),
        ("2100-02", "2100-02", "day", 28),
        ("2026-01-01", "2026-12-31", "day", 365),
        # Monday to Wednesday of the week after: the week with the end counts.
        ("2026-01-05", "2026-01-14", "week", 2),
        # Thursday to Tuesday: both weeks count.
        ("2026-01-08", "2026-01-13", "week", 2),
        ("2026-w01", "2026-w53", "week", 53),
        ("2025-12-29", "2026-01-04", "week", 1),
        ("2026-01-31", "2026-03-01", "month", 3),
        ("2026-01", "2026-12", "month", 12),
        ("2026-01", "2026-01", "hour", 744),
    ],
)
def test_both_ends_are_included_with_their_whole_periods(since: str, until: str, every: Period, count: int) -> None:
    assert len(starts(since, until, every)) == count


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-03-08"),
        ("America/Sao_Paulo", "2018-11-04"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Asia/Kathmandu", "1986-01-01"),
        ("Pacific/Apia", "2011-12-30"),
        ("UTC", "2026-03-29"),
    ],
)
def test_hours_and_days_are_those_that_the_zone_has(zone: str, day: str) -> None:
    first = datetime.fromisoformat(day) - timedelta(days=1)
    last = first + timedelta(days=2)
    # Every quarter of an hour that has passed in the zone.
    ticks = pd.date_range(
        pd.Timestamp(first).tz_localize(zone, nonexistent="shift_forward"),
        pd.Timestamp(last + timedelta(hours=23, minutes=59)).tz_localize(zone, ambiguous=False),
        freq="15min",
    )
    for every, form in (("hour", "%Y-%m-%dT%H"), ("day", "%Y-%m-%d")):
        expected = list(dict.fromkeys(ticks.strftime(form)))
        found = starts(f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}", every, zone)  # type: ignore[arg-type]
        assert [f"{moment:{form}}" for moment in found] == expected


def test_stamps_differ_between_slots() -> None:
    for every in PERIODS:
        found = [slot_stamp(moment, every) for moment in starts("2024-12-20", "2027-01-10", every)]
        assert len(set(found)) == len(found)
        assert sorted(found) == found


@pytest.mark.parametrize(
    "text", ["today", "2026-02-30", "2025-02-29", "2026-01-01T06:30", "2026-01-01T24", "2025-w53", "2026-w00",
    "2026-13",      "1-01-01", "1899-12-31", "3000-01-01", "2026", ""]
)  # fmt: skip
def test_times_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="from"):
        read_time("from", text)


@pytest.mark.parametrize(
    ("template", "every"),
    [("flights", "day"), ("f-{date", "day"), ("f-{colour}", None), ("f-{date.year}", None), ("f-{date!r}", None),
     ("f-{}", None), ("f-{0}", None), ("f-{date:>99999999}", None), ("f-{date}", "hour"), ("f-{date}T{hour}", "day"),
     ("f-{week}", "month")],
)  # fmt: skip
def test_templates_that_do_not_fit_are_refused(template: str, every: Period | None) -> None:
    assert [problem.field for problem in check_template("dataset", template, every)] == ["dataset"]


def test_a_zone_without_clock_changes_changes_nothing() -> None:
    assert starts("2026-03-28", "2026-03-30", "hour") == list(slots(span("2026-03-28", "2026-03-30"), "hour", UTC))
