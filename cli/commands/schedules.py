"""`fleetscore schedules add`, `update`, `list`, `pause`, `resume` and `remove`."""

import json
import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import rich_click as click

from cli.command_line.click_classes import CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import request_option
from cli.commands.executions.request_text import read_request
from cli.documents.settings_file import SETTINGS_FILE, schedules_to_deploy
from cli.failures import CommandError, ExitStatus
from cli.stage.schedules import MISSED, ListedSchedule, Schedules
from cli.views.tables import add_row, plain_table
from contract.codec import decode_fields
from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError, Problem
from contract.triggers.schedules import Schedule, fill_placeholders

_SHOWN_REQUEST = 1_000
"""Characters of a request up to which a command that repeats it is shown in full."""

name_argument = argument("name", metavar="NAME", help="The schedule's name.")


@click.group("schedules", cls=CommandGroup, examples="fleetscore schedules list")
def schedules() -> None:
    """Start executions on a schedule."""


@schedules.command(
    "add",
    examples="""
    fleetscore schedules add nightly "cron(30 2 * * ? *)" --time-zone Asia/Tokyo
    fleetscore schedules add hourly "rate(1 hour)" --start 2026-12-31T06:00:00Z
    """,
)
@argument("name", metavar="NAME", help="The schedule's name; its executions' names begin with it.")
@argument("expression", metavar="EXPRESSION", help='"cron(30 2 * * ? *)", "rate(6 hours)" or "at(…)".')
@click.option("--time-zone", default="UTC", metavar="ZONE", help="Time zone, such as Europe/Berlin. Default: UTC.")
@click.option(
    "--flexible-window-minutes",
    type=int,
    metavar="N",
    help="Start at any moment within N minutes after the scheduled time (1 to 1440).",
)
@click.option(
    "--start",
    metavar="TIME",
    help="First time at which it may fire, such as 2026-12-31T06:00:00Z. Without it, a rate fires at once.",
)
@request_option
@click.option("--paused", is_flag=True, help="Add the schedule paused.")
@click.pass_obj
def add(
    invocation: Invocation,
    *,
    name: str,
    expression: str,
    time_zone: str,
    flexible_window_minutes: int | None,
    start: str | None,
    request: str,
    paused: bool,
) -> ExitStatus:
    """Add a schedule."""
    fields = {
        "name": name,
        "expression": expression,
        "time_zone": time_zone,
        "flexible_window_minutes": flexible_window_minutes,
        "request": _request(request),
        "enabled": not paused,
        "start": start,
    }
    schedule, problems = decode_fields(Schedule, fields)
    if schedule is None:
        raise InvalidInputError("schedule", problems)
    if name in schedules_to_deploy(Path.cwd()):
        raise CommandError(
            f"{SETTINGS_FILE} declares a schedule {name!r}, and its deployment would be rolled back if the name were "
            f"taken. Deploy it, or choose another name."
        )
    _to_change(invocation).add(schedule)
    until = f", paused: it starts nothing until `fleetscore schedules resume {name}`" if paused else ""
    invocation.output.data({"name": name, "enabled": not paused}, f"Schedule {name} is added{until}.")
    if schedule.fires_at_once:
        invocation.output.notice(
            f"A rate fires as soon as it is added, so {name} starts its first execution now, and {_scope(schedule)}. "
            "To choose the first time, remove the schedule and add it with --start TIME or a cron expression."
        )
    return ExitStatus.SUCCEEDED


@schedules.command(
    "update",
    examples="""
    fleetscore schedules update nightly --expression "cron(0 4 * * ? *)"
    fleetscore schedules update nightly --input '{"models": ["churn"]}'
    fleetscore schedules update nightly --no-flexible-window --paused
    """,
)
@name_argument
@click.option("--expression", metavar="EXPRESSION", help='"cron(30 2 * * ? *)", "rate(6 hours)" or "at(…)".')
@click.option("--time-zone", metavar="ZONE", help="Time zone, such as Europe/Berlin.")
@click.option(
    "--flexible-window-minutes", type=int, metavar="N", help="Start within N minutes after the scheduled time."
)
@click.option("--no-flexible-window", is_flag=True, help="Start at the scheduled time.")
@click.option("--start", metavar="TIME", help="First time at which it may fire, such as 2026-12-31T06:00:00Z.")
@click.option("--no-start", is_flag=True, help="Remove the start. A rate then fires at once.")
@click.option("--input", "request", metavar="JSON|@file", help="The request; it replaces the whole request.")
@click.option("--paused/--not-paused", "paused", default=None, help="Pause or resume the schedule.")
@click.pass_obj
def update(
    invocation: Invocation,
    *,
    name: str,
    expression: str | None,
    time_zone: str | None,
    flexible_window_minutes: int | None,
    no_flexible_window: bool,
    start: str | None,
    no_start: bool,
    request: str | None,
    paused: bool | None,
) -> ExitStatus:
    """Change a schedule. What no option names stays as it is.

    A time that has fired stays with its execution: no time starts two.
    """
    for one, other, word in (
        (flexible_window_minutes is not None, no_flexible_window, "flexible-window"),
        (start is not None, no_start, "start"),
    ):
        if one and other:
            raise click.UsageError(f"--no-{word} removes the {word.replace('-', ' ')}. Leave out one of both.")
    given = {
        "expression": expression,
        "time_zone": time_zone,
        "flexible_window_minutes": flexible_window_minutes,
        "start": start,
        "request": None if request is None else _request(request),
        "enabled": None if paused is None else not paused,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    changes |= {"flexible_window_minutes": None} if no_flexible_window else {}
    changes |= {"start": None} if no_start else {}
    if not changes:
        raise click.UsageError("Name what to change, for example --expression.")
    schedule, declared = _to_change(invocation).update(name, changes)
    invocation.output.data({"name": name, "changed": sorted(changes)}, f"Schedule {name} is updated.")
    if declared:
        invocation.output.notice(
            "The schedule is declared in the setting `schedules` of cdk.json: change it there as well, or the next "
            "deployment that changes the schedule undoes this."
        )
    if schedule.fires_at_once:
        invocation.output.notice(
            f"A rate without a start fires as soon as it is changed, so {name} starts an execution now, and "
            f"{_scope(schedule)}."
        )
    return ExitStatus.SUCCEEDED


@schedules.command("list", examples="fleetscore schedules list")
@click.pass_obj
def list_schedules(invocation: Invocation) -> ExitStatus:
    """List every schedule of the stage, with the execution of its last time.

    MISSED means that this time has started no execution.
    """
    found = Schedules(invocation.connection, invocation.stage).all()
    table = plain_table("name", "state", "expression", "time zone", "window", "last", "next", "from", "request")
    for schedule in found:
        add_row(table, *_cells(schedule))
    values = [
        {
            **asdict(s),
            "next_time": s.next_time.isoformat() if s.next_time else None,
            "last_time": s.last_time.isoformat() if s.last_time else None,
        }
        for s in found
    ]
    invocation.output.data(values, table if found else "There are no schedules.")
    for missed in found:
        if missed.last_status == MISSED:
            invocation.output.notice(
                f"Schedule {missed.name}: its time {_shown(missed.last_time)} has started no execution. Start it with "
                f"`fleetscore run --name {missed.last_execution_id}{_input(missed)}`; a delivery that is only late "
                "then starts nothing. See also the dead letters of schedules."
            )
    return ExitStatus.SUCCEEDED


def _input(missed: ListedSchedule) -> str:
    """Return the option with the request that the missed time would have had, placeholders filled."""
    if missed.last_time is None or missed.request == {}:
        return ""
    local = missed.last_time.astimezone(ZoneInfo(missed.time_zone))
    text = json.dumps(fill_placeholders(missed.request, local), ensure_ascii=False)
    return f" --input {shlex.quote(text)}" if len(text) <= _SHOWN_REQUEST else " --input REQUEST"


@schedules.command("pause", examples="fleetscore schedules pause nightly")
@name_argument
@click.pass_obj
def pause(invocation: Invocation, *, name: str) -> ExitStatus:
    """Stop a schedule from starting executions."""
    return _switch(invocation, name, enabled=False)


@schedules.command("resume", examples="fleetscore schedules resume nightly")
@name_argument
@click.pass_obj
def resume(invocation: Invocation, *, name: str) -> ExitStatus:
    """Let a paused schedule start executions again."""
    return _switch(invocation, name, enabled=True)


@schedules.command("remove", examples="fleetscore schedules remove nightly")
@name_argument
@click.pass_obj
def remove(invocation: Invocation, *, name: str) -> ExitStatus:
    """Remove a schedule that was added with this command."""
    _to_change(invocation).remove(name)
    invocation.output.data({"name": name}, f"Schedule {name} is removed.")
    return ExitStatus.SUCCEEDED


def _scope(schedule: Schedule) -> str:
    named = schedule.request.keys() & {"models", "fleets"}
    return "scores the models and fleets that its request names" if named else "scores with every enabled model"


def _to_change(invocation: Invocation) -> Schedules:
    """Return the stage's schedules, and print the account and Region that the command changes."""
    found = Schedules(invocation.connection, invocation.stage)
    invocation.announce(found.target_arn)
    return found


def _switch(invocation: Invocation, name: str, *, enabled: bool) -> ExitStatus:
    declared = _to_change(invocation).switch(name, enabled=enabled)
    word = "resumed" if enabled else "paused"
    invocation.output.data({"name": name, "enabled": enabled}, f"Schedule {name} is {word}.")
    if declared:
        invocation.output.notice(
            f"The schedule is declared in the setting `schedules` of cdk.json: set `enabled` to {str(enabled).lower()} "
            "there as well, or the next deployment that changes the schedule undoes this."
        )
    return ExitStatus.SUCCEEDED


def _request(text: str) -> object:
    """Return the request's JSON value.

    Raises:
        InvalidInputError: when the text is not JSON.
    """
    request_json = read_request(text)
    try:
        value: object = parse_json(request_json, keep_surrogates=True)
    except JsonError as error:
        problem = Problem("request", request_json, f"JSON text such as {{}}, but {error}")
        raise InvalidInputError("schedule", [problem]) from error
    return value


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""


def _cells(schedule: ListedSchedule) -> list[str]:
    window = schedule.flexible_window_minutes
    return [
        schedule.name,
        "enabled" if schedule.enabled else "paused",
        schedule.expression,
        schedule.time_zone,
        f"{window} min" if window else "",
        f"{_shown(schedule.last_time)} {schedule.last_status}".strip(),
        _shown(schedule.next_time) if schedule.next_time else "never" if schedule.enabled else "",
        "cdk.json" if schedule.declared else "command",
        json.dumps(schedule.request, ensure_ascii=False) if schedule.request is not None else "not from Fleetscore",
    ]
