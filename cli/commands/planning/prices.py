"""`fleetscore prices`: the prices with which executions are planned."""

from pathlib import Path

import rich_click as click

from cli.command_line.click_classes import CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.failures import CommandError, ExitStatus
from cli.stage.planning.prices import StagePrices, UsedPrices
from cli.views.planning.prices import prices_json, prices_view
from contract.planner.prices import parse_prices


@click.group(
    "prices",
    cls=CommandGroup,
    examples="""
    fleetscore prices show
    fleetscore prices refresh
    fleetscore prices set prices.json
    """,
)
def prices() -> None:
    """Show or replace the prices of instances with which a stage plans."""


@prices.command("show", examples="fleetscore prices show")
@click.pass_obj
def show(invocation: Invocation) -> ExitStatus:
    """Show the prices of the stage's Region, with their date and source."""
    return _print(invocation, StagePrices(invocation.connection, invocation.deployment()).read())


@prices.command("set", examples="fleetscore prices set prices.json")
@argument("file", metavar="FILE", type=FILE, help="JSON file with date, source and regions.")
@click.pass_obj
def set_prices(invocation: Invocation, *, file: Path) -> ExitStatus:
    """Replace the stage's prices with those of a file."""
    try:
        table = parse_prices(file.expanduser().read_bytes(), str(file))
    except OSError as error:
        raise CommandError(f"{file} cannot be read ({error.strerror}).") from error
    written = StagePrices(invocation.connection, invocation.changed_deployment()).replace(table)
    return _print(invocation, written)


@prices.command("refresh", examples="fleetscore prices refresh")
@click.pass_obj
def refresh(invocation: Invocation) -> ExitStatus:
    """Replace the stage's prices with those of the AWS Price List API.

    It has on-demand prices, without discounts of the account, and none of spot capacity.
    """
    return _print(invocation, StagePrices(invocation.connection, invocation.changed_deployment()).refresh())


@prices.command("reset", examples="fleetscore prices reset")
@click.pass_obj
def reset(invocation: Invocation) -> ExitStatus:
    """Use the prices of the release again."""
    return _print(invocation, StagePrices(invocation.connection, invocation.changed_deployment()).reset())


def _print(invocation: Invocation, used: UsedPrices) -> ExitStatus:
    invocation.output.data(prices_json(used), *prices_view(used))
    return ExitStatus.SUCCEEDED
