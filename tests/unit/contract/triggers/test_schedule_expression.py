from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.services import eventbridge

from contract.problems import InvalidInputError
from contract.triggers.schedule_expression import Cron, next_time, parse_expression

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
UTC_ZONE = ZoneInfo("UTC")


def times(text: str, zone: ZoneInfo, after: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(after)
    found = parse_expression("expression", text).times_after(moment, zone, moment)
    return [f"{item.astimezone(UTC):%Y-%m-%dT%H:%M}" for item in islice(found, count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cron(15 10 * * ? *)", ["2026-03-01T10:15", "2026-03-02T10:15"]),
        ("cron(0/30 8-9 ? * MON-FRI *)", ["2026-03-02T08:00", "2026-03-02T08:30", "2026-03-02T09:00"]),
        ("cron(0 0 L * ? *)", ["2026-03-31T00:00", "2026-04-30T00:00"]),
        ("cron(0 0 LW * ? *)", ["2026-03-31T00:00", "2026-04-30T00:00", "2026-05-29T00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-03-02T00:00", "2026-04-01T00:00", "2026-05-01T00:00", "2026-06-01T00:00"]),
        ("cron(0 0 15W 8 ? *)", ["2026-08-14T00:00", "2027-08-16T00:00"]),
        ("cron(0 0 ? * 6L *)", ["2026-03-27T00:00", "2026-04-24T00:00"]),
        ("cron(0 0 ? * L *)", ["2026-03-07T00:00", "2026-03-14T00:00"]),
        ("cron(0 0 ? * TUE#2 *)", ["2026-03-10T00:00", "2026-04-14T00:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("cron(5,10 0 1,20 6 ? 2026-2027)", ["2026-06-01T00:05", "2026-06-01T00:10", "2026-06-20T00:05"]),
        ("rate(6 hours)", ["2026-03-01T06:00", "2026-03-01T12:00"]),
        ("rate(1 minutes)", ["2026-03-01T00:01"]),
        ("at(2026-03-05T12:30:00)", ["2026-03-05T12:30"]),
    ],
)
def test_expression_fires_at_the_expected_times(text: str, expected: list[str]) -> None:
    assert times(text, UTC_ZONE, "2026-03-01T00:00:00+00:00", len(expected)) == expected


def test_local_times_follow_the_time_zone() -> None:
    found = times("cron(0 9 * * ? *)", NEW_YORK, "2026-03-07T00:00:00+00:00", 3)
    assert found == ["2026-03-07T14:00", "2026-03-08T13:00", "2026-03-09T13:00"]


def test_local_time_that_clocks_skip_is_skipped() -> None:
    found = times("cron(30 2 * * ? *)", BERLIN, "2026-03-28T00:00:00+00:00", 2)
    assert found == ["2026-03-28T01:30", "2026-03-30T00:30"]
    assert times("at(2026-03-29T02:30:00)", BERLIN, "2026-01-01T00:00:00+00:00", 1) == []


def test_local_time_that_clocks_show_twice_fires_once() -> None:
    found = times("cron(30 2 * * ? *)", BERLIN, "2026-10-24T12:00:00+00:00", 2)
    assert found == ["2026-10-25T00:30", "2026-10-26T01:30"]
    # Between the two occurrences, it has already fired.
    assert times("cron(30 2 * * ? *)", BERLIN, "2026-10-25T01:00:00+00:00", 1) == ["2026-10-26T01:30"]


def test_rate_ignores_clock_changes() -> None:
    assert times("rate(1 day)", BERLIN, "2026-03-28T12:00:00+00:00", 2) == ["2026-03-29T12:00", "2026-03-30T12:00"]


@pytest.mark.parametrize("text", ["cron(0 0 30 2 ? *)", "cron(0 0 31 4,6,9,11 ? *)", "cron(0 0 ? 2 MON#5 2027)"])
def test_expression_for_a_date_that_does_not_exist_never_fires(text: str) -> None:
    assert next_time(parse_expression("e", text), UTC_ZONE, datetime(1970, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "cron("),
        ("0 2 * * ? *", "cron("),
        ("cron(0 2 * * *)", "six fields"),
        ("cron(0 2 * * * *)", "? in exactly one"),
        ("cron(0 2 ? * ? *)", "? in exactly one"),
        ("cron(60 2 * * ? *)", "minutes as numbers from 0 to 59"),
        ("cron(0 24 * * ? *)", "hours as numbers from 0 to 23"),
        ("cron(0 2 32 * ? *)", "day-of-month"),
        ("cron(0 2 ? * 8 *)", "day-of-week"),
        ("cron(0 2 ? * MON#6 *)", "day-of-week"),
        ("cron(0 2 * 13 ? *)", "month as numbers"),
        ("cron(0 2 * * ? 1969)", "year as numbers"),
        ("cron(5-1 2 * * ? *)", "minutes"),
        ("cron(0/0 2 * * ? *)", "minutes"),
        ("rate(0 minutes)", "rate(value unit)"),
        ("rate(5 seconds)", "rate(value unit)"),
        ("rate(1.5 hours)", "rate(value unit)"),
        ("at(2026-02-30T00:00:00)", "a date and time that exist"),
        ("at(2026-03-01T00:00:00Z)", "without a time zone"),
    ],
)
def test_invalid_expression_is_refused_with_what_was_expected(text: str, part: str) -> None:
    with pytest.raises(InvalidInputError, match="got") as refused:
        parse_expression("expression", text)
    assert part in str(refused.value)


def test_all_invalid_cron_fields_are_reported_at_once() -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_expression("expression", "cron(60 24 32 13 ? 1900)")
    assert len(refused.value.problems) == 5


def spans(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ordered = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(number, st.integers(1, 20)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.one_of(
        st.just("*"), st.lists(st.one_of(number.map(str), ordered, stepped), min_size=1, max_size=2).map(",".join)
    )


@settings(max_examples=60, deadline=None)
@given(
    minutes=spans(0, 59),
    hours=spans(0, 23),
    day=st.one_of(
        spans(1, 31).map(lambda part: (part, "?")),
        spans(1, 7).map(lambda part: ("?", part)),
        st.sampled_from([("L", "?"), ("LW", "?"), ("15W", "?"), ("1W", "?"), ("?", "2#1"), ("?", "7#4"), ("?", "6L")]),
    ),
    months=spans(1, 12),
    minutes_since_2020=st.integers(0, 30_000_000),
)
def test_cron_agrees_with_an_independent_parser(
    minutes: str, hours: str, day: tuple[str, str], months: str, minutes_since_2020: int
) -> None:
    text = f"cron({minutes} {hours} {day[0]} {months} {day[1]} *)"
    after = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes_since_2020)
    fields = eventbridge._parse_cron_fields(text)
    assert fields is not None
    other = eventbridge._cron_next_fire(fields, after)
    if other is not None:  # ministack searches four years
        ours = parse_expression("expression", text)
        assert isinstance(ours, Cron)
        assert next_time(ours, UTC_ZONE, after) == other
        assert other - after < timedelta(days=4 * 366 + 1)
