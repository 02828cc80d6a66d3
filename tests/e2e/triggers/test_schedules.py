"""A schedule starts exactly one execution per scheduled time."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.stage.schedules import MISSED, ListedSchedule, Schedules
from contract import codec
from contract.triggers.schedules import Schedule, ScheduledStart
from embedded.faults import DelayEvent, DoubleEvent, LoseEvent
from tests.e2e.stage import Stage, wait_for

Clock = Callable[[str], None]
Add = Callable[..., None]

REQUEST = {"models": ["no-such-model"], "execution_label": "on schedule"}


@pytest.fixture(scope="module")
def schedules(stage: Stage) -> Schedules:
    return Schedules(stage.connection, stage.deployment.stage)


@pytest.fixture
def add(schedules: Schedules) -> Iterator[Add]:
    names: list[str] = []

    def added(name: str, expression: str, **fields: Any) -> None:
        schedule = Schedule(name, expression, **{"request": REQUEST, **fields})
        schedules.add(schedule, datetime(2000, 1, 1, tzinfo=UTC))
        names.append(name)

    yield added
    for name in names:
        schedules.remove(name)


def executions(stage: Stage, prefix: str) -> dict[str, str]:
    """Return the status of the executions whose names have the prefix, by name."""
    pages = stage.client("stepfunctions").list_executions(stateMachineArn=stage.deployment.state_machine_arn)
    return {item["name"]: item["status"] for item in pages["executions"] if item["name"].startswith(prefix)}


@pytest.fixture
def clock(stage: Stage) -> Iterator[Clock]:
    """Yield a function that sets the scheduler's clock, and restore the real time at the end."""
    yield lambda text: stage.aws.clock.set(datetime.fromisoformat(text))
    stage.aws.clock.set(datetime.now(UTC))


def wait_until_seen(stage: Stage, add: Add, mark: str) -> None:
    """Wait until the scheduler has read all schedules: a rate fires as soon as it is read."""
    add(mark, "rate(1 day)")
    wait_for(lambda: executions(stage, f"{mark}-"), "the scheduler has looked at its schedules")


def starts(stage: Stage, name: str) -> set[str]:
    return {execution.removeprefix(f"{name}-") for execution in executions(stage, name)}


SPRING = {"20260328T013000Z", "20260330T003000Z"}
"""02:30 in Berlin around 29 March 2026, when clocks went from 02:00 to 03:00."""
AUTUMN = {"20261024T003000Z", "20261025T003000Z", "20261026T013000Z"}
"""02:30 in Berlin around 25 October 2026, when clocks showed it twice: at 00:30 and 01:30 UTC."""


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("2026-03-28T01:29:00+00:00", "2026-03-30T00:31:00+00:00", SPRING),
        ("2026-10-24T00:29:00+00:00", "2026-10-26T01:31:00+00:00", AUTUMN),
    ],
    ids=["spring", "autumn"],
)
def test_a_local_time_is_skipped_in_spring_and_fires_once_in_autumn(  # noqa: PLR0917 - fixtures and parameters
    stage: Stage, clock: Clock, add: Add, begin: str, end: str, expected: set[str]
) -> None:
    name = f"night-{begin[5:7]}"
    clock(begin)
    add(name, "cron(30 2 * * ? *)", time_zone="Europe/Berlin")
    wait_until_seen(stage, add, f"mark-{begin[5:7]}")
    clock(end)
    wait_for(lambda: starts(stage, name) >= expected, f"all of {expected} started")
    assert starts(stage, name) == expected


def test_a_schedule_names_the_dataset_of_each_local_day_once(stage: Stage, clock: Clock, add: Add) -> None:
    clock("2026-03-27T23:59:00+00:00")
    request = {**REQUEST, "dataset": "sales-{date}"}
    add("daily", "cron(0 1 * * ? *)", time_zone="Europe/Berlin", request=request)
    wait_until_seen(stage, add, "mark-daily")
    clock("2026-03-29T23:01:00+00:00")
    wait_for(lambda: len(starts(stage, "daily")) == 3, "01:00 of three days around the clock change")
    assert {name: json.loads(stage.executions.input_of(name))["dataset"] for name in executions(stage, "daily")} == {
        "daily-20260328T000000Z": "sales-2026-03-28",
        "daily-20260329T000000Z": "sales-2026-03-29",
        "daily-20260329T230000Z": "sales-2026-03-30",
    }


def test_an_updated_schedule_keeps_the_times_that_have_fired(
    stage: Stage, clock: Clock, add: Add, schedules: Schedules
) -> None:
    clock("2026-05-02T00:59:00+00:00")
    add("updated", "cron(0 1,3 * * ? *)")
    wait_until_seen(stage, add, "mark-update")
    clock("2026-05-02T01:00:30+00:00")
    wait_for(lambda: starts(stage, "updated") == {"20260502T010000Z"}, "the first time has fired")
    changes = {"expression": "cron(0 1,2 * * ? *)", "request": {**REQUEST, "execution_label": "updated"}}
    schedules.update("updated", changes, datetime(2000, 1, 1, tzinfo=UTC))
    wait_until_seen(stage, add, "mark-update-2")
    clock("2026-05-02T03:00:30+00:00")
    expected = {"20260502T010000Z", "20260502T020000Z"}
    wait_for(lambda: starts(stage, "updated") >= expected, "the new time has fired")
    assert starts(stage, "updated") == expected, "01:00 has one execution, and 03:00 none"
    record = wait_for(lambda: stage.executions.snapshot("updated-20260502T020000Z").record, "its record")
    assert record.label == "updated"


def deliver(stage: Stage, start: ScheduledStart) -> dict[str, Any]:
    outputs = stage.client("cloudformation").describe_stacks(StackName="fleetscore-dev-triggers")["Stacks"][0][
        "Outputs"
    ]
    target = next(output["OutputValue"] for output in outputs if output["OutputKey"] == "ScheduleTargetArn")
    answer = stage.client("lambda").invoke(FunctionName=target, Payload=codec.dumps(start).encode())
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, result
    return result


def test_a_repeated_delivery_starts_nothing_new(stage: Stage) -> None:
    start = ScheduledStart("doubled", "2026-05-01T02:30:00Z", REQUEST)
    first = deliver(stage, start)
    again = deliver(stage, start)
    wait_for(lambda: executions(stage, "doubled") == {"doubled-20260501T023000Z": "FAILED"}, "its end")
    late = deliver(stage, start)
    assert first["execution_id"] == again["execution_id"] == late["execution_id"] == "doubled-20260501T023000Z"
    assert first["name_was_used"] is False
    assert late["name_was_used"] is True
    assert set(executions(stage, "doubled")) == {"doubled-20260501T023000Z"}
    assert stage.executions.snapshot("doubled-20260501T023000Z").record.label == "on schedule"  # type: ignore[union-attr]


def test_a_doubled_a_late_and_a_lost_delivery(stage: Stage, clock: Clock, add: Add, schedules: Schedules) -> None:
    """The first starts one execution, the second that of its scheduled time, and the third is shown as missed."""
    clock("2027-06-01T00:30:00+00:00")
    add("deliveries", "cron(0 * * * ? *)")
    wait_until_seen(stage, add, "mark-deliveries")
    named = {"source": "aws.scheduler", "schedule": "deliveries"}
    faults = [DoubleEvent(**named), DelayEvent(**named, seconds=1), LoseEvent(**named)]
    for fault in faults:
        stage.aws.faults.add(fault)
    clock("2027-06-01T03:10:00+00:00")
    wait_for(lambda: len(starts(stage, "deliveries")) == 2, "the doubled and the late one have started executions")
    kinds = [fault.KIND for fault in faults]
    wait_for(lambda: [each.kind for each in stage.aws.faults.happened()[-3:]] == kinds, "the third one is lost")
    assert starts(stage, "deliveries") == {"20270601T010000Z", "20270601T020000Z"}

    def listed() -> ListedSchedule:
        found = schedules.all(datetime(2027, 6, 1, 3, 10, tzinfo=UTC))
        return next(each for each in found if each.name == "deliveries")

    missed = "deliveries-20270601T030000Z"
    assert (listed().last_execution_id, listed().last_status) == (missed, MISSED)
    stage.start_unchecked(json.dumps(REQUEST), missed)
    assert listed().last_status == "FAILED", "its model is not registered"
    late = deliver(stage, ScheduledStart("deliveries", "2027-06-01T03:00:00Z", REQUEST))
    assert (late["execution_id"], late["name_was_used"]) == (missed, True)
    stage.aws.faults.clear()


def test_a_paused_schedule_starts_nothing_and_a_resumed_one_does(
    stage: Stage, clock: Clock, add: Add, schedules: Schedules
) -> None:
    clock("2027-01-01T00:00:00+00:00")
    add("paused", "cron(0 * * * ? *)", enabled=False)
    add("hourly", "cron(0 * * * ? *)")
    wait_until_seen(stage, add, "first")
    clock("2027-01-01T02:00:30+00:00")
    wait_for(lambda: len(starts(stage, "hourly")) == 2, "two hours")
    schedules.switch("paused", enabled=True)
    clock("2027-01-01T03:00:30+00:00")
    wait_for(lambda: starts(stage, "paused"), "the resumed schedule")
    assert starts(stage, "paused") == {"20270101T030000Z"}


def test_an_undeliverable_time_goes_to_the_dead_letter_queue(stage: Stage, clock: Clock, schedules: Schedules) -> None:
    scheduler, queues = stage.client("scheduler"), stage.client("sqs")
    schedules.add(Schedule("lost", "rate(1 day)", request=REQUEST, enabled=False))
    made = scheduler.get_schedule(GroupName="fleetscore-dev", Name="lost")
    target = {**made["Target"], "Arn": made["Target"]["Arn"] + "-gone"}
    scheduler.update_schedule(
        GroupName="fleetscore-dev",
        Name="lost",
        ScheduleExpression="rate(2 days)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
    )
    url = queues.get_queue_url(QueueName=made["Target"]["DeadLetterConfig"]["Arn"].rpartition(":")[2])["QueueUrl"]
    message = wait_for(
        lambda: queues.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"), "the dead letter"
    )[0]
    schedules.remove("lost")
    assert json.loads(message["Body"])["schedule"] == "lost"
    assert message["MessageAttributes"]["TARGET_ARN"]["StringValue"].endswith("-gone")
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] in ("AccessDeniedException", "AccessDenied")
    queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_the_service_refuses_schedules_that_cannot_work(stage: Stage, schedules: Schedules) -> None:
    scheduler = stage.client("scheduler")
    fields = {
        "Name": "wrong",
        "ScheduleExpression": "cron(0 25 * * ? *)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": schedules.target_arn, "RoleArn": schedules._role_arn, "Input": "{}"},
    }
    with pytest.raises(scheduler.exceptions.ValidationException, match="Invalid Schedule Expression"):
        scheduler.create_schedule(**fields)
    with pytest.raises(scheduler.exceptions.ValidationException, match="Mars/Olympus"):
        scheduler.create_schedule(
            **{**fields, "ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "Mars/Olympus"}
        )
