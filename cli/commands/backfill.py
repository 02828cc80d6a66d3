"""`fleetscore backfill`: one execution for each dataset of a period."""

from collections.abc import Mapping, Sequence

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import words
from cli.command_line.output import Output
from cli.documents.dataset_template import STEPS, Slot, expand, read_time
from cli.failures import ExitStatus
from cli.stage.backfill import Backfill, Outcome, Scorer
from cli.stage.catalog import Catalog
from cli.stage.executions import Executions
from cli.stage.fleets import Fleet, Fleets
from cli.views.tables import add_row, counted, plain_table
from contract.catalog.models import Model, ModelVersion
from contract.problems import InvalidInputError, Problem

MAX_EXECUTIONS = 100
"""Largest value of --max-executions."""
_REGISTER = "Register one first."
_KINDS = ((False, "model"), (True, "fleet"))


@click.command(
    "backfill",
    cls=Command,
    examples=r"""
    fleetscore backfill --dataset 'sales-{date}' --from 2026-01-01 --to 2026-01-31
    fleetscore backfill --dataset 'clicks-{date}-{hour}' --every hour \
        --from 2026-01-31T00 --to 2026-01-31T23 --models churn --max-executions 4
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
    help="The first date, or date and hour such as 2026-01-31T06, in UTC.",
)
@click.option("--to", "until", required=True, metavar="TIME", help="The last date, or date and hour, included.")
@click.option(
    "--every",
    type=click.Choice(sorted(STEPS)),
    default="day",
    metavar="|".join(sorted(STEPS)),
    help="Period that each dataset covers. Default: day.",
)
@click.option("--models", type=words, metavar="A,B", help="Models to score with. Default: every enabled model.")
@click.option("--fleets", type=words, metavar="A,B", help="Fleets to score with. Default: all, without --models.")
@click.option("--max-executions", type=int, default=1, metavar="N", help="Executions that run in parallel. Default: 1.")
@click.option("--name", metavar="NAME", help="Beginning of the executions' names. Default: made from the template.")
@click.option("--dry-run", is_flag=True, help="List datasets and executions; start nothing.")
@click.pass_obj
def backfill(
    invocation: Invocation,
    *,
    dataset: str,
    since: str,
    until: str,
    every: str,
    models: list[str] | None,
    fleets: list[str] | None,
    max_executions: int,
    name: str | None,
    dry_run: bool,
) -> ExitStatus:
    """Score every dataset of a period, each in a separate execution.

    Datasets that every model and fleet has scored are skipped, so the command can be interrupted and
    repeated.
    """
    output = invocation.output
    slots = expand(dataset, read_time("from", since), read_time("to", until), every, name)
    if not 1 <= max_executions <= MAX_EXECUTIONS:
        problem = Problem("max-executions", max_executions, f"1 to {MAX_EXECUTIONS}")
        raise InvalidInputError("backfill", [problem])
    if dry_run:
        table = plain_table("dataset", "execution")
        for slot in slots:
            add_row(table, slot.dataset, slot.execution_id)
        output.data([vars(slot) for slot in slots], table)
        return ExitStatus.SUCCEEDED
    deployment = invocation.changed_deployment()
    catalog = Catalog(invocation.connection, deployment)
    chosen = choose_scorers(catalog.models(), Fleets(invocation.connection, deployment).all(), models, fleets)
    named = models is not None or fleets is not None
    runner = Backfill(invocation.connection, deployment, Executions(invocation.connection, deployment))
    counts = [(sum(scorer.is_fleet is kind for scorer in chosen), word) for kind, word in _KINDS]
    output.line(", ".join([counted(len(slots), "dataset"), *(counted(n, word) for n, word in counts if n)]))
    ended: list[Slot] = []

    def report(slot: Slot, execution_id: str, event: str) -> None:
        if event not in ("started", "already running"):
            ended.append(slot)
        text = f"execution {execution_id}: {event}" if execution_id else event
        output.line(f"[{len(ended):,}/{len(slots):,}] {slot.dataset}: {text}")

    try:
        outcomes = runner.run(slots, chosen, named=named, max_running=max_executions, report=report)
    except KeyboardInterrupt:
        output.notice(
            "\nStarted executions continue. Run the same command again: it follows them and scores the remaining "
            "datasets."
        )
        return ExitStatus.INTERRUPTED
    _print(outcomes, output)
    return _exit_status(outcomes)


def choose_scorers(
    catalog: Sequence[tuple[Model, ModelVersion | None]],
    known_fleets: Sequence[Fleet],
    models: list[str] | None,
    fleets: list[str] | None,
) -> list[Scorer]:
    """Return the models and fleets that a backfill scores with: the named ones, or all that are enabled.

    Raises:
        InvalidInputError: with every name that is unknown or disabled, or when there is none.
    """
    own = {
        model.model_id: Scorer(model.model_id, model.current_version)
        for model, version in catalog
        if model.enabled and (version is None or not version.fleet)
    }
    whole = {
        fleet.record.fleet_id: Scorer(fleet.record.fleet_id, fleet.version, is_fleet=True)
        for fleet in known_fleets
        if fleet.enabled
    }
    if models is None and fleets is None:
        chosen = [*own.values(), *whole.values()]
        if chosen:
            return chosen
        raise InvalidInputError("backfill", [Problem("models", [], "at least one enabled model", _REGISTER)])
    problems = [
        Problem("models", model_id, "an enabled model of the catalog, of no fleet", "See `fleetscore models list`.")
        for model_id in models or ()
        if model_id not in own
    ]
    problems += [
        Problem("fleets", fleet_id, "a fleet with enabled models", "See `fleetscore fleets list`.")
        for fleet_id in fleets or ()
        if fleet_id not in whole
    ]
    if not models and not fleets:
        problems.append(Problem("models", [], "at least one enabled model", _REGISTER))
    if problems:
        raise InvalidInputError("backfill", problems)
    return [*(own[model_id] for model_id in models or ()), *(whole[fleet_id] for fleet_id in fleets or ())]


def _print(outcomes: Mapping[Slot, Outcome], output: Output) -> None:
    counts = {outcome: sum(found is outcome for found in outcomes.values()) for outcome in Outcome}
    summary = ", ".join(f"{count:,} {outcome.value.lower()}" for outcome, count in counts.items() if count)
    values = [{"dataset": slot.dataset, "outcome": outcome.value} for slot, outcome in outcomes.items()]
    text = f"{counted(len(outcomes), 'dataset')}: {summary}"
    if counts[Outcome.FAILED]:
        text += (
            ". `fleetscore status EXECUTION` shows why executions failed; run the same command again to score what is "
            "missing."
        )
    output.data(values, text)


def _exit_status(outcomes: Mapping[Slot, Outcome]) -> ExitStatus:
    failed = sum(outcome is Outcome.FAILED for outcome in outcomes.values())
    if not failed:
        return ExitStatus.SUCCEEDED
    return ExitStatus.FAILED if failed == len(outcomes) else ExitStatus.PARTLY_FAILED
