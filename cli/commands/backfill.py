"""`fleetscore backfill`: one execution for each dataset of a period."""

from collections.abc import Mapping

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import words
from cli.command_line.output import Output
from cli.documents.dataset_template import STEPS, Slot, expand, read_time
from cli.failures import ExitStatus
from cli.stage.backfill import Backfill, Outcome
from cli.stage.catalog import Catalog
from cli.stage.executions import Executions
from cli.views.tables import add_row, counted, plain_table
from contract.catalog.models import Model
from contract.problems import InvalidInputError, Problem

MAX_EXECUTIONS = 100
"""Largest value of --max-executions."""


@click.command(
    "backfill",
    cls=Command,
    examples=r"""
    fleetscore backfill --dataset 'sales-{date}' --from 2026-01-01 --to 2026-01-31
    fleetscore backfill --dataset 'clicks-{date}T{hour}' --every hour \
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
    max_executions: int,
    name: str | None,
    dry_run: bool,
) -> ExitStatus:
    """Score every dataset of a period, each in a separate execution.

    Datasets that every model has scored are skipped, so the command can be interrupted and
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
    chosen = choose_models(Catalog(invocation.connection, deployment), models)
    runner = Backfill(invocation.connection, deployment, Executions(invocation.connection, deployment))
    output.line(f"{counted(len(slots), 'dataset')}, {counted(len(chosen), 'model')}")
    ended: list[Slot] = []

    def report(slot: Slot, execution_id: str, event: str) -> None:
        if event not in ("started", "already running"):
            ended.append(slot)
        text = f"execution {execution_id}: {event}" if execution_id else event
        output.line(f"[{len(ended):,}/{len(slots):,}] {slot.dataset}: {text}")

    try:
        outcomes = runner.run(slots, chosen, named=models is not None, max_running=max_executions, report=report)
    except KeyboardInterrupt:
        output.notice(
            "\nStarted executions continue. Run the same command again: it follows them and scores the remaining "
            "datasets."
        )
        return ExitStatus.INTERRUPTED
    _print(outcomes, output)
    return _exit_status(outcomes)


def choose_models(catalog: Catalog, wanted: list[str] | None) -> list[Model]:
    """Return the models that a backfill scores with: the wanted ones, or every enabled one.

    Raises:
        InvalidInputError: with every wanted model that is unknown or disabled, or when there is no
            model.
    """
    known = {model.model_id: model for model, _ in catalog.models()}
    problems = [
        Problem("models", model_id, "an enabled model of the catalog", "See `fleetscore models list`.")
        for model_id in wanted or ()
        if model_id not in known or not known[model_id].enabled
    ]
    chosen = [known[model_id] for model_id in wanted] if wanted and not problems else []
    if wanted is None:
        chosen = [model for model in known.values() if model.enabled]
    if not chosen and not problems:
        problems.append(Problem("models", wanted or [], "at least one enabled model", "Register one first."))
    if problems:
        raise InvalidInputError("backfill", problems)
    return chosen


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
