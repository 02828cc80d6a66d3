"""Schedules: their targets, and the permissions of the scheduler's role and function."""

import json
from typing import Any

import pytest

from contract.problems import InvalidInputError
from tests.unit.infra.assembly import Assembly, flat
from tests.unit.infra.conftest import Synthesize


def schedules_of(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {item["Name"]: item for item in assembly.resources("triggers", "AWS::Scheduler::Schedule").values()}


def test_without_settings_there_is_an_empty_schedule_group(assembly: Assembly) -> None:
    assert schedules_of(assembly) == {}
    (group,) = assembly.resources("triggers", "AWS::Scheduler::ScheduleGroup").values()
    assert group["Name"] == "fleetscore-dev"


def test_each_schedule_of_the_settings_is_deployed(automated: Assembly) -> None:
    nightly, hourly = schedules_of(automated)["nightly"], schedules_of(automated)["hourly"]
    assert (nightly["ScheduleExpression"], nightly["ScheduleExpressionTimezone"]) == (
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
    )
    assert nightly["State"] == "ENABLED"
    assert nightly["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert hourly["State"] == "DISABLED"
    assert hourly["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert json.loads(nightly["Target"]["Input"]) == {
        "schema_version": 2,
        "schedule": "nightly",
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "request": {"models": ["a"]},
        "time_zone": "Europe/Berlin",
    }


def test_a_schedule_calls_the_function_and_keeps_undelivered_events(automated: Assembly) -> None:
    for schedule in schedules_of(automated).values():
        target = schedule["Target"]
        assert flat(target["Arn"]) == "<SchedulesStartOnSchedule.Arn>"
        assert flat(target["DeadLetterConfig"]["Arn"]) == "<SchedulesDeadLetters.Arn>"
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    (delivery,) = automated.resources("triggers", "AWS::Lambda::EventInvokeConfig").values()
    assert flat(delivery["DestinationConfig"]["OnFailure"]["Destination"]) == "<SchedulesDeadLetters.Arn>"


def test_the_schedulers_role_is_limited_to_one_function_and_group(assembly: Assembly) -> None:
    role = assembly.resources("triggers", "AWS::IAM::Role")["SchedulesRole"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert flat(trust["Condition"]["StringEquals"]["aws:SourceArn"]) == "<SchedulesGroup.Arn>"
    allowed = {
        action: flat(item["Resource"])
        for name, item in assembly.statements()
        if name.startswith("triggers/SchedulesRole")
        for action in (item["Action"] if isinstance(item["Action"], list) else [item["Action"]])
    }
    assert allowed == {
        "lambda:InvokeFunction": "<SchedulesStartOnSchedule.Arn>",
        "sqs:SendMessage": "<SchedulesDeadLetters.Arn>",
        "kms:Decrypt": "<fleetscore-dev-KeyArn>",
        "kms:GenerateDataKey": "<fleetscore-dev-KeyArn>",
    }


def test_the_function_may_start_executions_but_read_no_data(assembly: Assembly) -> None:
    actions = {
        action
        for name, item in assembly.statements()
        if name.startswith("triggers/SchedulesStartOnScheduleRole")
        for action in (item["Action"] if isinstance(item["Action"], list) else [item["Action"]])
    }
    services = {action.partition(":")[0] for action in actions}
    assert "states:StartExecution" in actions
    assert services == {"states", "sqs", "logs", "xray", "kms"}


def test_problems_of_all_schedules_are_reported_together(synthesize: Synthesize) -> None:
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
