"""`fleetscore backfill`: score what is missing of each dataset of a time span."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import words
from cli.commands.executions.request_text import read_request
from cli.documents.dataset_template import Slot, expand
from cli.failures import CommandError, ExitStatus
from cli.stage.executions.backfill import Backfill, Outcome, SlotResult, State
from cli.views.executions.backfill import looks_json, looks_view, results_json, results_view
from cli.views.tables import counted
from contract.checks import raise_if_any
from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError, Problem
from contract.triggers.slots import PERIODS, Period, read_time
from contract.triggers.time_zones import check_time_zone
from contract.workflow.scoring_request import parse_request

MAX_EXECUTIONS = 100
"""Largest value of --max-executions."""
_OWN_FIELDS = ("dataset", "models", "fleets", "objects_manifest", "resume", "keep_scored", "train", "task_token")
"""Fields of requests that the command sets, or that have no meaning for several datasets."""


@click.command(
    "backfill",
    cls=Command,
    examples=r"""
    fleetscore backfill --dataset 'ads-{date}' --from 2026-01 --to 2026-02 --check
    fleetscore backfill --dataset 'ads-{year}-{month}' --every month \
        --from 2025-01 --to 2025-12
    fleetscore backfill --dataset 'clicks-{date}-{hour}' --every hour \
        --from 2026-01-31 --to 2026-01-31 --models churn --max-executions 4
    """,
)
@click.option(
    "--dataset",
    required=True,
    metavar="TEMPLATE",
    help="Name of a dataset with {date}, {year}, {month}, {day}, {hour} or {week} in it, such as 'flights-{date}'.",
)
@click.option(
    "--from",
    "since",
    required=True,
    metavar="TIME",
    help="The first date, hour (2026-01-31T06), ISO week (2026-w05) or month (2026-01).",
)
@click.option("--to", "until", required=True, metavar="TIME", help="The last one, included as a whole.")
@click.option(
    "--every",
    type=click.Choice(PERIODS),
    default="day",
    metavar="|".join(PERIODS),
    help="Period that each dataset covers. Default: day.",
)
@click.option("--time-zone", default="UTC", metavar="ZONE", help="Zone of the times. Default: UTC.")
@click.option("--models", type=words, metavar="A,B", help="Models to score with. Default: every enabled model.")
@click.option("--fleets", type=words, metavar="A,B", help="Fleets to score with. Default: all, without --models.")
@click.option(
    "--input",
    "request",
    default="{}",
    metavar="JSON|@file",
    help="Other fields of the executions' requests, such as instance_type.",
)
@click.option("--max-executions", type=int, default=1, metavar="N", help="Executions that run in parallel. Default: 1.")
@click.option("--name", metavar="NAME", help="Beginning of the executions' names. Default: made from the template.")
@click.option("--check", "--dry-run", "check", is_flag=True, help="Show what is scored of each dataset; start nothing.")
@click.pass_obj
def backfill(
    invocation: Invocation,
    *,
    dataset: str,
    since: str,
    until: str,
    every: Period,
    time_zone: str,
    models: list[str] | None,
    fleets: list[str] | None,
    request: str,
    max_executions: int,
    name: str | None,
    check: bool,
) -> ExitStatus:
    """Score what is missing of every dataset of a time span.

    An object counts as scored by a model if an earlier execution has scored the same object with the
    same model in the same way. So the command can be interrupted and repeated.
    """
    output = invocation.output
    first, last = read_time("from", since), read_time("to", until)
    raise_if_any(check_time_zone("time-zone", time_zone), "backfill")
    slots = expand(dataset, first, last, every, name, zone=ZoneInfo(time_zone))
    options = _options(request, slots[0], models, fleets)
    if not 1 <= max_executions <= MAX_EXECUTIONS:
        problem = Problem("max-executions", max_executions, f"1 to {MAX_EXECUTIONS}")
        raise InvalidInputError("backfill", [problem])
    deployment = invocation.deployment() if check else invocation.changed_deployment()
    runner = Backfill(invocation.connection, deployment, models=models, fleets=fleets, options=options)
    if check:
        looks = list(runner.look_at_all(slots))
        output.data(looks_json(looks), *looks_view(looks))
        refused = any(look.state is State.REFUSED for look in looks)
        return ExitStatus.REFUSED if refused else ExitStatus.SUCCEEDED
    output.line(counted(len(slots), "dataset"))
    ended: set[Slot] = set()

    def report(slot: Slot, execution_id: str, event: str) -> None:
        if not execution_id:
            ended.add(slot)
        text = f"execution {execution_id}: {event}" if execution_id else event
        output.line(f"[{len(ended):,}/{len(slots):,}] {slot.dataset}: {text}")

    try:
        results = runner.run(slots, max_running=max_executions, report=report)
    except KeyboardInterrupt:
        output.notice("\nStarted executions continue. Run the same command again: it follows them and scores the rest.")
        return ExitStatus.INTERRUPTED
    output.data(results_json(results), *results_view(results))
    return _exit_status(results)


def _options(text: str, slot: Slot, models: list[str] | None, fleets: list[str] | None) -> dict[str, Any]:
    """Return the fields of --input, after checking the request of the first dataset.

    Raises:
        CommandError: when a field is one that the command sets.
        InvalidInputError: with every problem of the request.
    """
    try:
        options: Any = parse_json(read_request(text), keep_surrogates=True)
    except JsonError as error:
        raise InvalidInputError("backfill", [Problem("input", text, f"JSON text, but {error}")]) from None
    if not isinstance(options, dict):
        raise InvalidInputError("backfill", [Problem("input", options, "a JSON object such as {}")])
    if own := [name for name in _OWN_FIELDS if name in options]:
        raise CommandError(f"Leave {', '.join(own)} out of --input: the command says what is scored.")
    names = {"models": models, "fleets": fleets}
    parse_request({"dataset": slot.dataset, **options, **{key: ids for key, ids in names.items() if ids is not None}})
    return options


def _exit_status(results: Sequence[SlotResult]) -> ExitStatus:
    failed = sum(result.outcome is Outcome.FAILED for result in results)
    if not failed:
        return ExitStatus.SUCCEEDED
    return ExitStatus.FAILED if failed == len(results) else ExitStatus.PARTLY_FAILED
