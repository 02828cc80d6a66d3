"""`fleetscore schedules add`, `list`, `pause`, `resume` and `remove`."""

import json
from argparse import Namespace
from dataclasses import asdict

from cli.commands.executions import read_request
from cli.failures import ExitStatus
from cli.output import Output
from cli.stage.connection import Connection
from cli.stage.schedules import ListedSchedule, Schedules
from cli.views.tables import add_row, plain_table
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.triggers.schedules import Schedule


def add(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    schedule = read_schedule(options)
    Schedules(connection, options.stage).add(schedule)
    output.data({"name": schedule.name}, f"Schedule {schedule.name} starts executions from now on.")
    return ExitStatus.SUCCEEDED


def list_schedules(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    found = Schedules(connection, options.stage).all()
    table = plain_table("name", "state", "expression", "time zone", "window", "next", "from", "request")
    for schedule in found:
        add_row(table, *_cells(schedule))
    values = [{**asdict(s), "next_time": s.next_time.isoformat() if s.next_time else None} for s in found]
    output.data(values, table if found else "There are no schedules.")
    return ExitStatus.SUCCEEDED


def switch(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """Pause or resume, as `options.enabled` says."""
    declared = Schedules(connection, options.stage).switch(options.name, enabled=options.enabled)
    word = "resumed" if options.enabled else "paused"
    output.data({"name": options.name, "enabled": options.enabled}, f"Schedule {options.name} is {word}.")
    if declared:
        output.notice(
            "It comes from the setting `schedules` in cdk.json: say the same in its `enabled` there, or a later "
            "deployment that changes the schedule undoes this."
        )
    return ExitStatus.SUCCEEDED


def remove(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    Schedules(connection, options.stage).remove(options.name)
    output.data({"name": options.name}, f"Schedule {options.name} is removed.")
    return ExitStatus.SUCCEEDED


def read_schedule(options: Namespace) -> Schedule:
    """The schedule that the options describe.

    Raises:
        InvalidInputError: with every problem.
    """
    text = read_request(options.input)
    try:
        request = json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem("request", text, f"JSON text such as {{}} ({error})")
        raise InvalidInputError("schedule", [problem]) from error
    fields = {
        "name": options.name,
        "expression": options.expression,
        "time_zone": options.time_zone,
        "flexible_window_minutes": options.flexible_window_minutes,
        "request": request,
        "enabled": not options.paused,
    }
    schedule, problems = decode_fields(Schedule, fields)
    if schedule is None:
        raise InvalidInputError("schedule", problems)
    return schedule


def _cells(schedule: ListedSchedule) -> list[str]:
    window = schedule.flexible_window_minutes
    return [
        schedule.name,
        "enabled" if schedule.enabled else "paused",
        schedule.expression,
        schedule.time_zone,
        f"{window} min" if window else "",
        f"{schedule.next_time:%Y-%m-%d %H:%M} UTC" if schedule.next_time else "never" if schedule.enabled else "",
        "cdk.json" if schedule.declared else "command",
        json.dumps(schedule.request, ensure_ascii=False) if schedule.request is not None else "not ours",
    ]
