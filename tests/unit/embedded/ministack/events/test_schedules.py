import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

from embedded.ministack.events.schedules import (
    all_schedules,
    install_schedule_check,
    install_scheduler,
    remove_schedule,
)

HANDLERS = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
FIELDS = {
    "GroupName": "default",
    "ScheduleExpression": "cron(30 2 * * ? *)",
    "ScheduleExpressionTimezone": "Europe/Berlin",
    "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": "15"},
    "Target": {"Arn": "arn:aws:lambda:us-east-1:0:function:f", "RoleArn": "arn:aws:iam::0:role/r", "Input": "{}"},
}


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_tick_schedules", "_SCHEDULE_TICK_INTERVAL", "_create_schedule", "_update_schedule"):
        monkeypatch.setattr(scheduler, name, getattr(scheduler, name))
    for name in ("create", "update"):
        monkeypatch.setitem(HANDLERS, name, HANDLERS[name])
    install_schedule_check(
        lambda request: ("ValidationException", "no zone") if request["ScheduleExpressionTimezone"] == "Mars" else None
    )
    yield
    scheduler.reset()


def post(name: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({**FIELDS, **fields}).encode()
    status, _headers, answer = asyncio.run(scheduler.handle_request("POST", f"/schedules/{name}", {}, body, {}))
    return status, json.loads(answer)


def test_one_loop_replaces_those_of_ministack(caplog: pytest.LogCaptureFixture) -> None:
    """What fails does not stop the others."""
    looked: list[str] = []

    def fail() -> None:
        looked.append("fails")
        raise LookupError("of a schedule")

    install_scheduler((fail, lambda: looked.append("rules")), 0.25)
    for _ in range(2):
        scheduler._tick_schedules()
    assert looked == ["fails", "rules"] * 2
    assert "of a schedule" in caplog.text
    assert scheduler._SCHEDULE_TICK_INTERVAL == 0.25


def test_api_schedules_are_checked_stored_and_removed() -> None:
    assert post("night")[0] == 200
    (record,) = all_schedules()
    assert (record["Name"], record["ScheduleExpressionTimezone"]) == ("night", "Europe/Berlin")
    status, answer = post("wrong", ScheduleExpressionTimezone="Mars")
    assert (status, answer["Message"]) == (400, "no zone")
    remove_schedule(record)
    assert all_schedules() == []


def test_stack_schedules_are_checked_and_keep_their_time_zone() -> None:
    name, attributes = HANDLERS["create"]("Night", {**FIELDS, "Name": "night"}, "stack")
    assert name == "night"
    assert attributes["Arn"].endswith(":schedule/default/night")
    (record,) = all_schedules()
    assert record["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert record["FlexibleTimeWindow"]["MaximumWindowInMinutes"] == 15
    changed = {**FIELDS, "Name": "night", "ScheduleExpressionTimezone": "Asia/Tokyo", "State": "DISABLED"}
    assert HANDLERS["update"]("night", {**FIELDS, "Name": "night"}, changed, "stack")[0] == "night"
    (record,) = all_schedules()
    assert (record["ScheduleExpressionTimezone"], record["State"]) == ("Asia/Tokyo", "DISABLED")
    with pytest.raises(ValueError, match="no zone"):
        HANDLERS["create"]("Wrong", {**FIELDS, "ScheduleExpressionTimezone": "Mars"}, "stack")
