"""`fleetscore list`: executions by time, status and label."""

import re
from datetime import UTC, datetime, timedelta

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.failures import ExitStatus
from cli.stage.diagnosis.execution_list import STATUSES, ExecutionList, ListChoice
from cli.views.diagnosis.execution_list import executions_table, listed_json
from contract.status import ExecutionKind

_DEFAULT_COUNT = 20
_AGE = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """Return a time in UTC from ISO 8601 text, or from an age such as `24h`.

    Raises:
        click.BadParameter: when the text is neither.
    """
    if age := _AGE.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        found = datetime.fromisoformat(text)
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text[:40]!r} is no time such as 2026-03-01, 2026-03-01T12:00 (in UTC), 90m, 24h or 7d."
        ) from error


@click.command(
    "list",
    cls=Command,
    examples="""
    fleetscore list
    fleetscore list --status FAILED --since 7d
    fleetscore list --label nightly --last 5 --json
    """,
)
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Executions with this status.")
@click.option("--label", default="", metavar="LABEL", help="Executions with this execution_label.")
@click.option("--since", type=moment, metavar="TIME", help="Started at this time (UTC) or later, or since 24h, 7d.")
@click.option("--until", type=moment, metavar="TIME", help="Started at this time (UTC) or before.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=_DEFAULT_COUNT,
    metavar="COUNT",
    help=f"Largest number of executions. Default: {_DEFAULT_COUNT}.",
)
@click.option("--training", is_flag=True, help="Training executions only.")
@click.pass_obj
def list_executions(
    invocation: Invocation,
    *,
    status: str | None,
    label: str,
    since: datetime | None,
    until: datetime | None,
    last: int,
    training: bool,
) -> ExitStatus:
    """List executions, newest first, also those of schedules and uploads."""
    choice = ListChoice(ExecutionKind.TRAINING if training else None, (status or "").upper(), label, since, until)
    found = ExecutionList(invocation.connection, invocation.deployment()).read(choice, last)
    now = datetime.now(UTC)
    value = [listed_json(execution, now) for execution in found]
    if not found:
        invocation.output.data(value, "No such executions. Start one with `fleetscore run`.")
        return ExitStatus.SUCCEEDED
    more = [f"The newest {last:,}; --last shows more."] if len(found) == last else []
    invocation.output.data(value, executions_table(found, now), *more)
    return ExitStatus.SUCCEEDED
