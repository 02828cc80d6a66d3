"""Fire times and deliveries of the scheduler, with a clock that the test moves.

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
class SchedulerHarness:
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
            "Name": name,
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
def scheduler() -> SchedulerHarness:
    return SchedulerHarness()


def test_each_scheduled_time_is_delivered_once(scheduler: SchedulerHarness) -> None:
    scheduler.add("cron(0 * * * ? *)")
    assert scheduler.move(minutes=59) == []
    assert scheduler.move(minutes=1) == ["2026-03-28T01:00:00Z"]
    assert scheduler.move(minutes=1) == []
    assert scheduler.move(hours=2) == ["2026-03-28T02:00:00Z", "2026-03-28T03:00:00Z"]


def test_local_times_follow_daylight_saving_time(scheduler: SchedulerHarness) -> None:
    scheduler.add("cron(30 2 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin")
    assert scheduler.move(days=3) == ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]


def test_a_rate_fires_at_once_and_then_periodically(scheduler: SchedulerHarness) -> None:
    scheduler.add("rate(1 day)")
    assert scheduler.delivered == ["2026-03-28T00:00:00Z"]
    assert scheduler.move(days=2) == ["2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"]


def test_the_start_date_is_the_first_time_of_a_rate(scheduler: SchedulerHarness) -> None:
    """The user guide: "You use the StartDate property to set the first occurrence of
    the schedule".
    """
    scheduler.add("rate(1 day)", StartDate=(BEGIN + timedelta(hours=6)).isoformat())
    assert scheduler.delivered == []
    assert scheduler.move(days=2) == ["2026-03-28T06:00:00Z", "2026-03-29T06:00:00Z"]


def test_a_flexible_window_delays_only_the_delivery(scheduler: SchedulerHarness) -> None:
    scheduler.add("cron(0 * * * ? *)", FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30})
    early = scheduler.move(hours=1)
    late = scheduler.move(minutes=30)
    assert [*early, *late] == ["2026-03-28T01:00:00Z"]


def test_a_paused_schedule_skips_its_times(scheduler: SchedulerHarness) -> None:
    record = scheduler.add("cron(0 * * * ? *)", State="DISABLED")
    assert scheduler.move(hours=3) == []
    record["State"] = "ENABLED"
    assert scheduler.move(hours=1) == ["2026-03-28T04:00:00Z"]


def test_start_and_end_dates_limit_the_times(scheduler: SchedulerHarness) -> None:
    start, end = BEGIN + timedelta(hours=2), BEGIN + timedelta(hours=4)
    scheduler.add("cron(0 * * * ? *)", StartDate=start.timestamp(), EndDate=end.isoformat())
    assert scheduler.move(hours=9) == [f"2026-03-28T0{hour}:00:00Z" for hour in (2, 3, 4)]


def test_a_one_time_schedule_can_delete_itself(scheduler: SchedulerHarness) -> None:
    scheduler.add("at(2026-03-28T05:00:00)", ActionAfterCompletion="DELETE")
    assert scheduler.move(hours=6) == ["2026-03-28T05:00:00Z"]
    assert scheduler.records == []


def test_setting_the_clock_back_repeats_times(scheduler: SchedulerHarness) -> None:
    scheduler.add("cron(0 12 * * ? *)")
    assert scheduler.move(days=1) == ["2026-03-28T12:00:00Z"]
    assert scheduler.move(days=-2) == []
    assert scheduler.move(days=2) == ["2026-03-27T12:00:00Z", "2026-03-28T12:00:00Z"]


def test_a_refused_delivery_goes_to_the_dead_letter_queue(scheduler: SchedulerHarness) -> None:
    scheduler.denied = True
    scheduler.add("rate(1 day)")
    (message,) = scheduler.dead
    assert message["QueueUrl"] == "url of " + QUEUE
    assert json.loads(message["MessageBody"])["time"] == "2026-03-28T00:00:00Z"
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ScheduleExpression": "cron(0 0 * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpressionTimezone": "Mars"}, "Mars"),
        ({"ScheduleExpressionTimezone": "localtime"}, "localtime is not supported"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE, "Input": f'"{"ü" * 131_072}"'}}, "equal to 262144"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE, "Input": "all"}}, "must be JSON"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}}, "1440"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "absent for OFF"),
        ({"Target": {"Arn": QUEUE, "RoleArn": ROLE, "Input": "{}"}}, "Lambda functions"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE}}, "Input"),
        ({"Target": {"Arn": FUNCTION, "RoleArn": ROLE + "-other", "Input": "{}"}}, "assume the role"),
    ],
)
def test_an_invalid_schedule_is_refused(scheduler: SchedulerHarness, change: dict[str, Any], part: str) -> None:
    good = scheduler.add("rate(1 day)")
    assert scheduler.service.check(good) is None
    refusal = scheduler.service.check({**good, **change})
    assert refusal is not None
    assert part in refusal[1]
