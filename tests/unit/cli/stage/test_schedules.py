import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.schedules import MISSED, ListedSchedule, Schedules
from contract.triggers.schedules import Schedule, target_input
from tests.unit.cli.builders import Stacks
from tests.unit.hostile_text import HOSTILE, is_printable

GROUP = "fleetscore-dev"


def large_request() -> str:
    return json.dumps({"models": [f"model-{number:05d}" for number in range(17_000)]})


FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:start"
ROLE = "arn:aws:iam::123456789012:role/scheduler"
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"


@pytest.fixture(autouse=True)
def stack(account: Connection, stacks: Stacks) -> None:
    """Make the triggers stack with one declared schedule."""
    stacks.outputs["fleetscore-dev-triggers"] = {
        "ScheduleGroup": GROUP,
        "ScheduleTargetArn": FUNCTION,
        "ScheduleRoleArn": ROLE,
        "ScheduleDeadLettersArn": QUEUE,
    }

    def resources(**_: object) -> tuple[AWSResponse, dict[str, Any]]:
        found = [{"ResourceType": "AWS::Scheduler::Schedule", "PhysicalResourceId": "declared"}]
        return AWSResponse("", 200, {}, None), {"StackResourceSummaries": found, "ResponseMetadata": {}}

    account.session().events.register("before-call.cloudformation.ListStackResources", resources)
    scheduler = account.client("scheduler")
    scheduler.create_schedule_group(Name=GROUP)
    scheduler.create_schedule(
        GroupName=GROUP,
        Name="declared",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": FUNCTION, "RoleArn": ROLE, "Input": target_input(Schedule("declared", "rate(1 day)"))},
    )


def stored(connection: Connection, name: str) -> dict[str, Any]:
    found: dict[str, Any] = connection.client("scheduler").get_schedule(GroupName=GROUP, Name=name)
    return found


def test_added_schedule_has_the_target_of_declared_ones(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--time-zone", "Europe/Berlin", "--flexible-window-minutes", "10", "--input", '{"models": ["a"]}']
    assert main(["schedules", "add", "nightly", "cron(30 2 * * ? *)", *words]) == 0
    found = stored(connection, "nightly")
    assert found["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert found["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
    assert found["KmsKeyArn"] == "arn:aws:kms:eu-central-1:123456789012:key/1"
    assert found["Target"]["Arn"] == FUNCTION
    assert found["Target"]["RoleArn"] == ROLE
    assert found["Target"]["DeadLetterConfig"] == {"Arn": QUEUE}
    assert json.loads(found["Target"]["Input"])["request"] == {"models": ["a"]}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["n", "cron(0 0 30 2 ? *)"], ["never fire"]),
        (["n", "at(2020-01-01T00:00:00)"], ["All its times have passed"]),
        (["n n", "daily", "--time-zone", "Mars", "--input", '{"x": 1}'], ["'n n'", "daily", "Mars", "request.x"]),
        (["n", "rate(1 day)", "--input", "{"], ["JSON text"]),
        (["n", "rate(1 day)", "--input", '{"models": ["a"], "models": ["b"]}'], ["'models'", "twice"]),
        (
            ["n", "rate(1 day)", "--input", '{"task_token": "AQC1"}'],
            ["request.task_token", "'(hidden)'", "one waiting"],
        ),
        (["n", "rate(1 day)", "--time-zone", "posix/Asia/Tokyo"], ["time_zone", "Write 'Asia/Tokyo'"]),
        (["n", "rate(1 day)", "--input", large_request()], ["size", "225,000", "by their tags"]),
        (["n", "rate(1 day)", "--start", "2199-01-01T00:00:00"], ["start", "with a time zone"]),
        (["n", "rate(1 day)", "--start", "2020-01-01T00:00:00Z"], ["start", "after now"]),
    ],
)
def test_invalid_schedule_is_refused(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "add", *words]) == 2
    text = capsys.readouterr().err
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        (["rate(1 hours)"], True),
        (["rate(1 hours)", "--start", "2199-01-01T00:00:00Z"], False),
        (["rate(1 hours)", "--paused"], False),
        (["cron(0 * * * ? *)"], False),
    ],
)
def test_a_rate_that_starts_an_execution_now_says_so(
    words: list[str], capsys: pytest.CaptureFixture[str], *, warns: bool
) -> None:
    assert main(["schedules", "add", "hourly", *words]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert ("starts its first execution now, and scores with every enabled model" in text) is warns
    assert ("--start TIME or a cron expression" in text) is warns


def test_the_start_is_stored_and_the_next_time_follows_it(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedules", "add", "later", "rate(1 day)", "--start", "2199-01-01T06:00:00+01:00"]) == 0
    assert stored(connection, "later")["StartDate"] == datetime(2199, 1, 1, 5, tzinfo=UTC)
    capsys.readouterr()
    assert main(["--json", "schedules", "list"]) == 0
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["later"]["next_time"] == "2199-01-01T05:00:00+00:00"


def test_a_schedule_that_has_begun_keeps_its_times_when_it_is_paused(connection: Connection) -> None:
    """EventBridge Scheduler refuses to update a schedule with a start that has passed."""
    begun = datetime.now(UTC) - timedelta(minutes=4)
    connection.client("scheduler").create_schedule(
        GroupName=GROUP,
        Name="begun",
        ScheduleExpression="rate(1 hours)",
        StartDate=begun,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": FUNCTION, "RoleArn": ROLE, "Input": target_input(Schedule("begun", "rate(1 hours)"))},
    )
    assert main(["schedules", "pause", "begun"]) == 0
    start = stored(connection, "begun")["StartDate"]
    assert timedelta(minutes=59) < start - begun < timedelta(minutes=61)


def test_update_changes_only_what_is_named(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--time-zone", "Europe/Berlin", "--flexible-window-minutes", "10", "--input", '{"models": ["a"]}']
    assert main(["schedules", "add", "nightly", "cron(30 2 * * ? *)", *words, "--paused"]) == 0
    before = stored(connection, "nightly")
    capsys.readouterr()
    assert main(["schedules", "update", "nightly", "--expression", "cron(0 4 * * ? *)", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "nightly", "changed": ["expression"]}
    after = stored(connection, "nightly")
    assert after["ScheduleExpression"] == "cron(0 4 * * ? *)"
    same = ("ScheduleExpressionTimezone", "FlexibleTimeWindow", "State", "Target", "KmsKeyArn", "Description")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    words = ["--no-flexible-window", "--input", '{"models": ["b"]}', "--not-paused", "--start", "2199-01-01T00:00:00Z"]
    assert main(["schedules", "update", "nightly", *words]) == 0
    after = stored(connection, "nightly")
    assert (after["FlexibleTimeWindow"], after["State"]) == ({"Mode": "OFF"}, "ENABLED")
    assert after["StartDate"] == datetime(2199, 1, 1, tzinfo=UTC)
    assert json.loads(after["Target"]["Input"])["request"] == {"models": ["b"]}
    assert {**after["Target"], "Input": ""} == {**before["Target"], "Input": ""}
    assert main(["schedules", "update", "nightly", "--no-start"]) == 0
    assert "StartDate" not in stored(connection, "nightly")


def test_update_of_a_rate_does_not_fire_it_unless_its_expression_changes(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedules", "add", "hourly", "rate(1 hours)"]) == 0
    capsys.readouterr()
    assert main(["schedules", "update", "hourly", "--input", '{"models": ["b"]}']) == 0
    assert "starts an execution now" not in capsys.readouterr().err
    start = stored(connection, "hourly")["StartDate"] - datetime.now(UTC)
    assert timedelta(minutes=58) < start < timedelta(minutes=61)
    assert main(["schedules", "update", "hourly", "--expression", "rate(2 hours)", "--no-start"]) == 0
    assert "starts an execution now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nothing", "--paused"], "There is no schedule 'nothing'"),
        (["declared"], "Name what to change"),
        (["declared", "--expression", "daily"], "expression: got 'daily'"),
        (["declared", "--expression", "at(2020-01-01T00:00:00)"], "All its times have passed"),
        (["declared", "--start", "2020-01-01T00:00:00Z"], "after now"),
        (["declared", "--start", "2199-01-01T00:00:00Z", "--no-start"], "Leave out one of both"),
        (["declared", "--input", '{"modles": []}'], "request.modles"),
    ],
)
def test_invalid_update_changes_nothing(
    connection: Connection, words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(connection, "declared")
    assert main(["schedules", "update", *words]) == 2
    assert part in " ".join(capsys.readouterr().err.split())
    assert stored(connection, "declared")["LastModificationDate"] == before["LastModificationDate"]


def test_updating_a_declared_schedule_says_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "update", "declared", "--time-zone", "Asia/Tokyo"]) == 0
    assert "cdk.json: change it there as well" in capsys.readouterr().err


def test_taken_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "add", "declared", "rate(1 day)"]) == 2
    assert "already" in capsys.readouterr().err


def test_list_shows_origin_and_next_time_of_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schedules", "add", "later", "at(2199-12-31T00:00:00)", "--paused"])
    capsys.readouterr()
    assert main(["--json", "schedules", "list"]) == 0
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert {name: item["declared"] for name, item in found.items()} == {"declared": True, "later": False}
    assert found["later"]["enabled"] is False
    assert found["later"]["next_time"] is None
    assert found["declared"]["next_time"] is not None
    assert main(["schedules", "list"]) == 0
    assert "cdk.json" in capsys.readouterr().out


def test_list_leaves_out_a_schedule_that_is_removed_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Schedules, "_names", lambda _: iter(["declared", "just-removed"]))
    assert main(["--json", "schedules", "list"]) == 0
    assert [item["name"] for item in json.loads(capsys.readouterr().out)] == ["declared"]


def test_list_compares_the_last_time_with_its_execution(account: Connection, stacks: Stacks) -> None:
    machine = account.client("stepfunctions").create_state_machine(
        name="scheduled", definition='{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}', roleArn=ROLE
    )["stateMachineArn"]
    stacks.outputs["fleetscore-dev-workflow"] = {"StateMachineArn": machine}
    now = datetime.now(UTC) + timedelta(days=1, minutes=6)
    [found] = Schedules(account, "dev").all(now)
    assert found.last_status == MISSED
    assert found.last_time is not None
    assert found.last_execution_id == f"declared-{found.last_time:%Y%m%dT%H%M%SZ}"
    assert timedelta(minutes=5) < now - found.last_time < timedelta(minutes=7)
    account.client("stepfunctions").start_execution(stateMachineArn=machine, name=found.last_execution_id)
    [found] = Schedules(account, "dev").all(now)
    assert found.last_status in ("RUNNING", "SUCCEEDED")
    [found] = Schedules(account, "dev").all(now - timedelta(minutes=3))
    assert (found.last_time, found.last_status) == (None, ""), "a delivery takes a moment"


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        ({}, "`;"),
        # 02:30 UTC is still the day before in New York.
        ({"dataset": "flights-{date}"}, """ --input '{"dataset": "flights-2026-02-28"}'`;"""),
        ({"models": [f"model-{number}" for number in range(1_000)]}, " --input REQUEST`;"),
    ],
    ids=["empty", "placeholder", "long"],
)
def test_list_says_how_to_start_a_missed_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_: Any, option: str
) -> None:
    missed = ListedSchedule(
        name="nightly",
        expression="cron(30 2 * * ? *)",
        time_zone="America/New_York",
        flexible_window_minutes=None,
        enabled=True,
        request=request_,
        declared=True,
        next_time=None,
        last_time=datetime(2026, 3, 1, 2, 30, tzinfo=UTC),
        last_execution_id="nightly-20260301T023000Z",
        last_status=MISSED,
    )
    monkeypatch.setattr(Schedules, "all", lambda _: [missed])
    assert main(["schedules", "list"]) == 0
    shown = capsys.readouterr()
    assert "2026-03-01 02:30 UTC MISSED" in " ".join(shown.out.split())
    assert f"`fleetscore run --name nightly-20260301T023000Z{option}" in shown.err


def test_pause_and_resume_change_nothing_but_the_state(connection: Connection) -> None:
    main(["schedules", "add", "nightly", "cron(30 2 * * ? *)", "--time-zone", "Europe/Berlin"])
    before = stored(connection, "nightly")
    assert main(["schedules", "pause", "nightly"]) == 0
    paused = stored(connection, "nightly")
    assert paused["State"] == "DISABLED"
    assert paused["Target"] == before["Target"]
    assert paused["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert main(["schedules", "resume", "nightly"]) == 0
    assert stored(connection, "nightly")["State"] == "ENABLED"


def test_a_paused_rate_says_so_and_continues_at_its_times_when_it_is_resumed(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate without a start would fire at the moment of the change."""
    assert main(["schedules", "add", "hourly", "rate(1 hour)", "--paused"]) == 0
    shown = capsys.readouterr()
    assert "paused: it starts nothing until `fleetscore schedules resume hourly`" in shown.out
    assert "now" not in shown.err
    created = stored(connection, "hourly")["CreationDate"]
    assert main(["schedules", "resume", "hourly"]) == 0
    assert stored(connection, "hourly")["StartDate"] - created == timedelta(hours=1)


def test_pausing_a_declared_schedule_says_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "pause", "declared"]) == 0
    assert "cdk.json" in capsys.readouterr().err


def test_remove_deletes_added_schedules_only(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    main(["schedules", "add", "nightly", "rate(1 day)"])
    assert main(["schedules", "remove", "nightly"]) == 0
    assert main(["schedules", "remove", "nightly"]) == 2
    assert "no schedule 'nightly'" in capsys.readouterr().err
    assert main(["schedules", "remove", "declared"]) == 2
    assert "cdk.json" in capsys.readouterr().err
    assert stored(connection, "declared")["State"] == "ENABLED"


def test_a_name_that_cdk_json_declares_is_left_to_the_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"fleetscore": {"schedules": [{"name": "nightly", "expression": "rate(1 day)"}]}}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": settings}))
    monkeypatch.chdir(tmp_path)
    assert main(["schedules", "add", "nightly", "rate(1 day)"]) == 2
    assert "cdk.json declares a schedule 'nightly'" in capsys.readouterr().err
    assert main(["schedules", "add", "hourly", "rate(1 hour)"]) == 0


def test_lists_hide_task_tokens_and_show_control_characters_as_escapes(
    account: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    # Earlier releases added such a schedule.
    text = target_input(Schedule("waiting", "rate(1 hour)")).replace("{}", '{"task_token": "AQC1"}')
    account.client("scheduler").create_schedule(
        GroupName=GROUP,
        Name="waiting",
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": FUNCTION, "RoleArn": ROLE, "Input": text},
    )
    account.client("scheduler").create_schedule(
        GroupName=GROUP,
        Name="foreign",
        ScheduleExpression="rate(1 day)",
        ScheduleExpressionTimezone=HOSTILE,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": FUNCTION, "RoleArn": ROLE, "Input": HOSTILE},
    )
    capsys.readouterr()
    for options in ([], ["--json"]):
        assert main([*options, "schedules", "list"]) == 0
        shown = capsys.readouterr().out
        assert "AQC1" not in shown
        assert "(hidden)" in shown
        assert is_printable(shown)


def test_changes_of_schedules_say_where(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["add", "s", "rate(1 hour)"], ["pause", "s"], ["resume", "s"], ["remove", "s"]):
        assert main(["schedules", *words]) == 0
        assert capsys.readouterr().err.startswith("Stage dev in account 123456789012, Region eu-central-1, https://")
