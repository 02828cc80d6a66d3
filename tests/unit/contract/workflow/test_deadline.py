from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.problems import InvalidInputError
from contract.triggers.triggered_request import check_triggered_request
from contract.workflow.deadline import deadline_time
from contract.workflow.scoring_request import parse_request

START = datetime(2026, 3, 1, 22, tzinfo=UTC)


@given(st.integers(0, 364), st.integers(0, 23), st.integers(1, 59))
def test_durations_count_from_the_start(days: int, hours: int, minutes: int) -> None:
    deadline = f"P{days}DT{hours}H{minutes}M"
    assert parse_request({"deadline": deadline}).deadline == deadline
    assert deadline_time(deadline, START) == START + timedelta(days=days, hours=hours, minutes=minutes)


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1 < moment.year < 9_999), st.integers(-56, 56))
def test_times_with_any_offset_are_read(moment: datetime, quarters: int) -> None:
    text = moment.astimezone(timezone(timedelta(minutes=15 * quarters))).isoformat()
    assert deadline_time(parse_request({"deadline": text}).deadline or "", START) == moment


@pytest.mark.parametrize(
    ("deadline", "message"),
    [
        ("2026-03-02T06:00:00", "a time with its offset from UTC"),
        ("06:00", "a time with its offset from UTC"),
        ("6h", "such as 'PT6H'"),
        ("P", "such as 'PT6H'"),
        ("PT", "such as 'PT6H'"),
        ("P1DT", "such as 'PT6H'"),
        ("PT5", "such as 'PT6H'"),
        ("PT6H\n", "such as 'PT6H'"),
        ("2026-02-30T06:00:00Z", "there is no such time"),
        ("0001-01-01T00:00:00+14:00", "there is no such time"),
        ("PT0M", "a duration of more than zero"),
        ("P366D", "at most 365 days"),
    ],
)
def test_other_deadlines_are_refused_with_examples(deadline: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_request({"deadline": deadline})


def test_strict_deadline_needs_a_deadline() -> None:
    with pytest.raises(InvalidInputError, match=r"strict_deadline: got true, expected false, because .* no deadline"):
        parse_request({"strict_deadline": True})


def test_repeated_requests_have_no_time_as_deadline() -> None:
    assert check_triggered_request({"deadline": "PT6H", "strict_deadline": True}, refused={}) == []
    [problem] = check_triggered_request({"deadline": "2026-03-02T06:00:00Z"}, refused={})
    assert problem.field == "request.deadline"
    assert "a time passes only once" in problem.expected
