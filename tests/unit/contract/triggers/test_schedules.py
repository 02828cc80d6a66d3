import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.problems import InvalidInputError
from contract.triggers.schedules import (
    SCHEDULED_TIME,
    Schedule,
    ScheduledStart,
    check_schedules,
    execution_name,
    read_target_input,
    target_input,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
NIGHTLY = {"name": "nightly", "expression": "cron(30 2 * * ? *)", "time_zone": "Europe/Berlin"}


def fields(*items: Any) -> dict[str, str]:
    return {problem.field: str(problem) for problem in check_schedules("schedules", items, NOW)}


def test_valid_schedule_has_no_problems() -> None:
    assert (
        fields(NIGHTLY, {**NIGHTLY, "name": "ads", "flexible_window_minutes": 15, "request": {"models": ["a"]}}) == {}
    )


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({"name": "a b"}, "name", "'a b'"),
        ({"name": "x" * 64}, "name", "1 to 63"),
        ({"expression": "every day"}, "expression", "cron("),
        ({"expression": "cron(0 0 30 2 ? *)"}, "expression", "never fire"),
        ({"expression": "cron(0 0 1 1 ? 2025)"}, "expression", "All its times have passed"),
        ({"expression": "at(2026-11-23T03:59:00)"}, "expression", "All its times have passed"),
        ({"expression": "at(2027-03-28T02:30:00)"}, "expression", "Europe/Berlin"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "IANA"),
        ({"time_zone": ""}, "time_zone", "IANA"),
        ({"flexible_window_minutes": 0}, "flexible_window_minutes", "1 to 1,440"),
        ({"flexible_window_minutes": 1441}, "flexible_window_minutes", "1 to 1,440"),
        ({"request": {"modles": ["a"]}}, "request.modles", "no such field"),
        ({"request": {"max_concurrency": "3"}}, "request.max_concurrency", "a whole number"),
        ({"request": {"dataset": "sales-{day"}}, "request.dataset", "{week}"),
        ({"request": {"dataset": "sales-{colour}"}}, "request.dataset", "{week}"),
        ({"request": {"dataset": "Sales-{date}"}}, "request.dataset", "Sales-2026-12-31"),
        ({"cron": "0"}, "cron", "no such field"),
        ({"enabled": "yes"}, "enabled", "true or false"),
    ],
)
def test_invalid_schedule_is_refused_by_field(change: dict[str, Any], field: str, part: str) -> None:
    ((named, text),) = fields({**NIGHTLY, **change}).items()
    assert named == f"schedules[0].{field}"
    assert part in text


def test_all_problems_of_all_schedules_are_reported_at_once() -> None:
    found = fields(
        {**NIGHTLY, "expression": "rate(0 days)", "time_zone": "Nowhere", "request": {"instance_count": 0}},
        {**NIGHTLY, "expression": "cron(0 0 31 6 ? *)"},
        NIGHTLY,
        "hourly",
    )
    assert set(found) == {
        "schedules[0].expression",
        "schedules[0].time_zone",
        "schedules[0].request.instance_count",
        "schedules[1].expression",
        "schedules[3]",
        "schedules",
    }


def test_future_local_time_in_a_later_zone_is_accepted() -> None:
    assert fields({"name": "once", "expression": "at(2026-11-23T02:30:00)", "time_zone": "America/New_York"}) == {}


def test_target_input_has_the_request_and_a_time_placeholder() -> None:
    schedule = Schedule("nightly", "rate(1 day)", request={"models": ["a"]})
    assert json.loads(target_input(schedule)) == {
        "schema_version": 2,
        "schedule": "nightly",
        "scheduled_time": SCHEDULED_TIME,
        "request": {"models": ["a"]},
        "time_zone": "UTC",
    }
    assert read_target_input(target_input(schedule)).request == {"models": ["a"]}


@pytest.mark.parametrize("written", ["2026-03-29T01:30:00Z", "2026-03-29T03:30:00+02:00", "2026-03-29T01:30:00.000Z"])
def test_execution_name_is_the_same_for_every_notation_of_a_time(written: str) -> None:
    assert execution_name(ScheduledStart("nightly", written, {})) == "nightly-20260329T013000Z"


@given(
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", fullmatch=True), st.datetimes(timezones=st.just(UTC))
)
def test_execution_name_of_a_schedule_is_valid_in_step_functions(name: str, moment: datetime) -> None:
    found = execution_name(ScheduledStart(name, moment.isoformat(), {}))
    assert len(found) <= 80
    assert found.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("name", "moment"), [("a b", "2026-03-29T01:30:00Z"), ("a", SCHEDULED_TIME), ("a", "2026-03-29")]
)
def test_invalid_schedule_name_or_time_is_refused(name: str, moment: str) -> None:
    with pytest.raises(InvalidInputError):
        execution_name(ScheduledStart(name, moment, {}))


@pytest.mark.parametrize(
    ("expression", "until", "expected"),
    [
        ("cron(30 2 * * ? *)", "2026-11-23T03:00", "2026-11-23T01:30"),
        ("cron(30 2 * * ? *)", "2026-11-23T01:30", "2026-11-23T01:30"),
        ("cron(30 2 * * ? *)", "2026-11-23T01:29", "2026-11-22T01:30"),
        ("cron(* * * * ? *)", "2026-11-23T03:00", "2026-11-23T03:00"),
        ("cron(0 0 1 1 ? *)", "2026-11-23T03:00", "2025-12-31T23:00"),
        ("rate(6 hours)", "2026-11-23T03:00", "2026-11-22T22:00"),
        ("at(2026-11-01T12:00:00)", "2026-11-23T03:00", "2026-11-01T11:00"),
    ],
)
def test_the_last_time_is_the_latest_one_that_is_due(expression: str, until: str, expected: str) -> None:
    schedule = Schedule(**{**NIGHTLY, "expression": expression})
    created = datetime(2025, 11, 23, 4, tzinfo=UTC)
    found = schedule.last_time(datetime.fromisoformat(f"{until}:00+00:00"), created, created)
    assert found == datetime.fromisoformat(f"{expected}:00+00:00")


def test_times_before_the_last_change_and_before_the_start_do_not_count() -> None:
    changed = datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert Schedule(**NIGHTLY).last_time(NOW, changed) is None
    assert Schedule(**NIGHTLY, start="2026-11-23T02:00:00Z").last_time(NOW, datetime(2026, 1, 1, tzinfo=UTC)) is None
