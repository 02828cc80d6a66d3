import json
from typing import Any

import pytest

from contract.problems import InvalidInputError
from tests.unit.infra.assembly import Assembly, flat
from tests.unit.infra.conftest import Synthesize

SCHEDULES: list[dict[str, Any]] = [
    {"name": "nightly", "expression": "cron(30 2 * * ? *)", "time_zone": "Europe/Berlin", "request": {"models": ["a"]}},
    {"name": "hourly", "expression": "rate(1 hour)", "flexible_window_minutes": 15, "enabled": False},
]


@pytest.fixture(scope="module")
def scheduled(synthesize: Synthesize) -> Assembly:
    return synthesize(schedules=SCHEDULES)


def schedules_of(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {item["Name"]: item for item in assembly.resources("triggers", "AWS::Scheduler::Schedule").values()}


def test_without_the_setting_there_are_no_schedules_but_a_group_for_those_to_come(assembly: Assembly) -> None:
    assert schedules_of(assembly) == {}
    (group,) = assembly.resources("triggers", "AWS::Scheduler::ScheduleGroup").values()
    assert group["Name"] == "fleetscore-dev"


def test_each_schedule_of_the_settings_is_deployed(scheduled: Assembly) -> None:
    nightly, hourly = schedules_of(scheduled)["nightly"], schedules_of(scheduled)["hourly"]
    assert (nightly["ScheduleExpression"], nightly["ScheduleExpressionTimezone"]) == (
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
    )
    assert nightly["State"] == "ENABLED"
    assert nightly["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert hourly["State"] == "DISABLED"
    assert hourly["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert json.loads(nightly["Target"]["Input"]) == {
        "schema_version": 1,
        "schedule": "nightly",
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "request": {"models": ["a"]},
    }


def test_a_schedule_calls_the_function_and_keeps_what_cannot_be_delivered(scheduled: Assembly) -> None:
    for schedule in schedules_of(scheduled).values():
        target = schedule["Target"]
        assert flat(target["Arn"]) == "<SchedulesStartOnSchedule.Arn>"
        assert flat(target["DeadLetterConfig"]["Arn"]) == "<SchedulesDeadLetters.Arn>"
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    (delivery,) = scheduled.resources("triggers", "AWS::Lambda::EventInvokeConfig").values()
    assert flat(delivery["DestinationConfig"]["OnFailure"]["Destination"]) == "<SchedulesDeadLetters.Arn>"


def test_the_schedulers_role_calls_one_function_and_serves_one_group(assembly: Assembly) -> None:
    role = assembly.resources("triggers", "AWS::IAM::Role")["SchedulesRole"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert flat(trust["Condition"]["StringEquals"]["aws:SourceArn"]) == "<SchedulesGroup.Arn>"
    allowed = {
        item["Action"]: flat(item["Resource"])
        for name, item in assembly.statements()
        if name.startswith("triggers/SchedulesRole")
    }
    assert allowed == {
        "lambda:InvokeFunction": "<SchedulesStartOnSchedule.Arn>",
        "sqs:SendMessage": "<SchedulesDeadLetters.Arn>",
    }


def test_the_function_starts_executions_and_reads_nothing(assembly: Assembly) -> None:
    actions = {
        action
        for name, item in assembly.statements()
        if name.startswith("triggers/SchedulesStartOnScheduleRole")
        for action in (item["Action"] if isinstance(item["Action"], list) else [item["Action"]])
    }
    services = {action.partition(":")[0] for action in actions}
    assert "states:StartExecution" in actions
    assert services == {"states", "sqs", "logs", "xray"}


def test_an_alarm_tells_of_times_that_started_nothing(assembly: Assembly) -> None:
    alarms = assembly.resources("triggers", "AWS::CloudWatch::Alarm").items()
    (alarm,) = [alarm for name, alarm in alarms if name.startswith("Schedules")]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert flat(alarm["Dimensions"][0]["Value"]) == "<SchedulesDeadLetters.QueueName>"


def test_every_problem_of_every_schedule_stops_synthesis_at_once(synthesize: Synthesize) -> None:
    wrong = [
        {"name": "a", "expression": "cron(0 0 30 2 ? *)"},
        {"name": "b", "expression": "hourly", "time_zone": "Nowhere"},
        {"name": "c", "expression": "rate(1 day)", "request": {"models": []}},
    ]
    with pytest.raises(InvalidInputError) as refused:
        synthesize(schedules=wrong, record_days=0)
    fields = {problem.field for problem in refused.value.problems}
    assert fields >= {
        "schedules[0].expression",
        "schedules[1].expression",
        "schedules[1].time_zone",
        "schedules[2].request.models",
        "record_days",
    }
