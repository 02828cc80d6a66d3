"""`fleetscore estimates`: how long things take."""

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.failures import ExitStatus
from cli.stage.planning.estimates import read_estimates
from cli.views.planning.estimates import estimates_json, estimates_view


@click.command(
    "estimates",
    cls=Command,
    examples="""
    fleetscore estimates
    fleetscore estimates --model churn --json
    """,
)
@click.option(
    "--model",
    "model_ids",
    metavar="ID",
    multiple=True,
    help="Only this model or fleet, also if it has not been measured. Repeat it for several.",
)
@click.pass_obj
def estimates(invocation: Invocation, *, model_ids: tuple[str, ...]) -> ExitStatus:
    """Show what plans estimate with: start-ups by instance type, and rows per second by model.

    Executions that end measure both. Before, plans use defaults.
    """
    found = read_estimates(invocation.connection, invocation.deployment(), model_ids)
    invocation.output.data(estimates_json(found), *estimates_view(found))
    return ExitStatus.SUCCEEDED
