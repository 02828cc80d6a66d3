"""`fleetscore backfill`."""

from argparse import Namespace
from collections.abc import Mapping

from cli.failures import ExitStatus
from cli.output import Output
from cli.stage.backfill import Backfill, Outcome, Slot, expand, read_time
from cli.stage.catalog import Catalog
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.stage.executions import Executions
from cli.views.tables import add_row, counted, plain_table
from contract.catalog.models import Model
from contract.problems import InvalidInputError, Problem

MOST_AT_ONCE = 100


def backfill(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    slots = expand(
        options.dataset,
        read_time("from", options.since),
        read_time("to", options.until),
        options.every,
        options.name,
    )
    if not 1 <= options.max_executions <= MOST_AT_ONCE:
        problem = Problem("max-executions", options.max_executions, f"1 to {MOST_AT_ONCE}")
        raise InvalidInputError("backfill", [problem])
    if options.dry_run:
        table = plain_table("dataset", "execution")
        for slot in slots:
            add_row(table, slot.dataset, slot.execution_id)
        output.data([vars(slot) for slot in slots], table)
        return ExitStatus.SUCCEEDED
    deployment = find_deployment(connection, options.stage)
    models = choose_models(Catalog(connection, deployment), options.models)
    work = Backfill(connection, deployment, Executions(connection, deployment))
    output.line(f"{counted(len(slots), 'dataset')}, {counted(len(models), 'model')}")
    ended: list[Slot] = []

    def tell(slot: Slot, execution_id: str, what: str) -> None:
        if what not in ("started", "runs already"):
            ended.append(slot)
        text = f"execution {execution_id}: {what}" if execution_id else what
        output.line(f"[{len(ended):,}/{len(slots):,}] {slot.dataset}: {text}")

    try:
        outcomes = work.run(slots, models, named=options.models is not None, at_once=options.max_executions, tell=tell)
    except KeyboardInterrupt:
        output.notice(
            "\nExecutions that have been started go on. Run the same command again: it follows them and does the rest."
        )
        return ExitStatus.INTERRUPTED
    _print(outcomes, output)
    return _exit_status(outcomes)


def choose_models(catalog: Catalog, wanted: list[str] | None) -> list[Model]:
    """The models that a backfill scores with.

    Raises:
        InvalidInputError: with every one that is unknown or disabled, or when there is none at all.
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
    words = ", ".join(f"{count:,} {outcome.value.lower()}" for outcome, count in counts.items() if count)
    values = [{"dataset": slot.dataset, "outcome": outcome.value} for slot, outcome in outcomes.items()]
    text = f"{counted(len(outcomes), 'dataset')}: {words}"
    if counts[Outcome.FAILED]:
        text += ". Run the same command again to try what is missing; `fleetscore status EXECUTION` says why."
    output.data(values, text)


def _exit_status(outcomes: Mapping[Slot, Outcome]) -> ExitStatus:
    failed = sum(outcome is Outcome.FAILED for outcome in outcomes.values())
    if not failed:
        return ExitStatus.SUCCEEDED
    return ExitStatus.FAILED if failed == len(outcomes) else ExitStatus.PARTLY_FAILED
