"""When the scheduler fires what, with a clock that the test moves.

End-to-end tests are in tests/e2e.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.scheduler.service import SchedulerService

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:start"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:lost"
ROLE = "arn:aws:iam::123456789012:role/scheduler"
BEGIN = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)


@dataclass
class World:
    """A scheduler, its schedules, and the messages that it has sent."""

    now: datetime = BEGIN
    records: list[dict[str, Any]] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    denied: bool = False

    def __post_init__(self) -> None:
        self.service = SchedulerService(
            now=lambda: self.now,
            schedules=lambda: list(self.records),
            remove=self.records.remove,
            may_assume=lambda role, service: role == ROLE and service == "scheduler.amazonaws.com",
            client_for_role=lambda role, service: self,
            queue_url=lambda arn: "url of " + arn,
        )

    def add(self, expression: str, name: str = "s", **fields: Any) -> dict[str, Any]:
        target = {
            "Arn": FUNCTION,
            "RoleArn": ROLE,
            "Input": '{"time": "<aws.scheduler.scheduled-time>", "of": "<aws.scheduler.schedule-arn>"}',
            "DeadLetterConfig": {"Arn": QUEUE},
        }
        record = {
            "Arn": f"arn:{name}",
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
            "State": "ENABLED",
            **fields,
        }
        self.records.append(record)
        self.service.sweep()
        return record

    def move(self, **step: float) -> list[str]:
        """Move the clock, sweep, and return the scheduled times that were delivered."""
        self.now += timedelta(**step)
        self.delivered.clear()
        self.service.sweep()
        return list(self.delivered)

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803
        if self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Invoke")
        assert (FunctionName, InvocationType) == (FUNCTION, "Event")
        body = json.loads(Payload)
        assert body["of"].startswith("arn:")
        self.delivered.append(body["time"])

    def send_message(self, **message: Any) -> None:
        self.dead.append(message)


@pytest.fixture
def world() -> World:
    return World()


def test_each_scheduled_time_is_delivered_once(world: World) -> None:
    world.add("cron(0 * * * ? *)")
    assert world.move(minutes=59) == []
    assert world.move(minutes=1) == ["2026-03-28T01:00:00Z"]
    assert world.move(minutes=1) == []
    assert world.move(hours=2) == ["2026-03-28T02:00:00Z", "2026-03-28T03:00:00Z"]


def test_local_times_follow_daylight_saving_time(world: World) -> None:
    world.add("cron(30 2 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    assert world.move(days=3) == ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]


def test_a_rate_fires_at_once_and_then_periodically(world: World) -> None:
    world.add("rate(1 day)")
    assert world.delivered == ["2026-03-28T00:00:00Z"]
    assert world.move(days=2) == ["2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"]


def test_a_flexible_window_delays_only_the_delivery(world: World) -> None:
    world.add("cron(0 * * * ? *)", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30})
    early = world.move(hours=1)
    late = world.move(minutes=30)
    assert [*early, *late] == ["2026-03-28T01:00:00Z"]


def test_a_paused_schedule_skips_its_times(world: World) -> None:
    record = world.add("cron(0 * * * ? *)", State="DISABLED")
    assert world.move(hours=3) == []
    record["State"] = "ENABLED"
    assert world.move(hours=1) == ["2026-03-28T04:00:00Z"]


def test_start_and_end_dates_limit_the_times(world: World) -> None:
    start, end = BEGIN + timedelta(hours=2), BEGIN + timedelta(hours=4)
    world.add("cron(0 * * * ? *)", StartDate=start.timestamp(), EndDate=end.isoformat())
    assert world.move(hours=9) == [f"2026-03-28T0{hour}:00:00Z" for hour in (2, 3, 4)]


def test_a_one_time_schedule_can_delete_itself(world: World) -> None:
    world.add("at(2026-03-28T05:00:00)", ActionAfterCompletion="DELETE")
    assert world.move(hours=6) == ["2026-03-28T05:00:00Z"]
    assert world.records == []


def test_setting_the_clock_back_repeats_times(world: World) -> None:
    world.add("cron(0 12 * * ? *)")
    assert world.move(days=1) == ["2026-03-28T12:00:00Z"]
    assert world.move(days=-2) == []
    assert world.move(days=2) == ["2026-03-27T12:00:00Z", "2026-03-28T12:00:00Z"]


def test_a_refused_delivery_goes_to_the_dead_letter_queue(world: World) -> None:
    world.denied = True
    world.add("rate(1 day)")
    (message,) = world.dead
    assert message["QueueUrl"] == "url of " + QUEUE
    assert json.loads(message["MessageBody"])["time"] == "2026-03-28T00:00:00Z"
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ScheduleExpression": "cron(0 0 * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpressionTimezone": "Mars"}, "Mars"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}}, "1440"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "none with OFF"),
        ({"Target": {"Arn": QUEUE, "RoleArn": ROLE, "Input": "{}"}}, "Lambda functions"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE}}, "Input"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE + "-other", "Input": "{}"}}, "assume the role"),
    ],
)
def test_an_invalid_schedule_is_refused(world: World, change: dict[str, Any], part: str) -> None:
    good = world.add("rate(1 day)")
    assert world.service.check(good) is None
    refusal = world.service.check({**good, **change})
    assert refusal is not None
    assert part in refusal[1]
