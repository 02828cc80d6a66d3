"""`fleetscore resources`: the stage's buckets, table and state machines."""

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.failures import ExitStatus
from cli.stage.deployment import RESOURCES
from cli.views.tables import fields_table


@click.command(
    "resources",
    cls=Command,
    examples="""
    fleetscore resources
    aws s3 ls "s3://$(fleetscore resources results_bucket)"
    """,
)
@argument(
    "name",
    required=False,
    metavar="[NAME]",
    type=click.Choice(RESOURCES),
    help=f"Print only the value of this one: {', '.join(RESOURCES)}.",
)
@click.pass_obj
def resources(invocation: Invocation, *, name: str | None) -> ExitStatus:
    """Show the stage's buckets, table and state machines."""
    values = vars(invocation.deployment())
    if name is None:
        invocation.output.data(values, fields_table(values))
    else:
        invocation.output.data(values[name], values[name])
    return ExitStatus.SUCCEEDED
