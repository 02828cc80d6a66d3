"""`fleetscore plan`, and the options --plan and --confirm of commands that start executions."""

import sys

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import request_option, words
from cli.commands.executions.request_text import read_request, with_names
from cli.commands.executions.table_options import TableOptions, table_options, with_snapshot
from cli.failures import CommandError, ExitStatus
from cli.stage.executions.executions import check_request
from cli.stage.executions.request_check import check_on_stage
from cli.views.executions.request_check import problems_text
from cli.views.planning.plan import plan_json, plan_view
from contract.status import ExecutionKind
from contract.workflow.request_check import RequestCheck


@click.command(
    "plan",
    cls=Command,
    examples="""
    fleetscore plan
    fleetscore plan --input '{"models_per_job": "auto", "deadline": "PT6H"}'
    fleetscore plan --input @request.json --json
    """,
)
@request_option
@click.option("--models", type=words, metavar="A,B", help="Models to score. Default: every enabled model.")
@click.option("--fleets", type=words, metavar="A,B", help="Fleets to score. Default: every fleet, without --models.")
@table_options
@click.pass_obj
def plan(
    invocation: Invocation,
    *,
    request: str,
    models: list[str] | None,
    fleets: list[str] | None,
    table: TableOptions,
) -> ExitStatus:
    """Show the jobs that an execution would run now, their time and their cost. Nothing is started."""
    request_json = with_names(read_request(request), models=models, fleets=fleets)
    check_request(request_json)
    choice = table.choice(request_json)
    if choice is not None:
        connection, deployment = invocation.connection, invocation.deployment()
        request_json = with_snapshot(request_json, choice, connection, deployment, invocation.output)
    return show_plan(invocation, request_json)


def show_plan(invocation: Invocation, request_json: str) -> ExitStatus:
    """Print what an execution with this request would need, and return the exit status."""
    found = _plan(invocation, request_json, all_jobs=invocation.output.as_json)
    if found.problem_count and not invocation.output.as_json:
        raise CommandError(problems_text(found))
    invocation.output.data(plan_json(found), *plan_view(found, invocation.stage))
    return ExitStatus.REFUSED if found.problem_count else ExitStatus.SUCCEEDED


def confirm_plan(invocation: Invocation, request_json: str) -> None:
    """Show the plan of a request on standard error, and ask whether to start it.

    Raises:
        CommandError: when nobody can be asked, the plan would refuse the request, or the answer is no.
    """
    if not sys.stdin.isatty():
        raise CommandError(
            "--confirm: there is no terminal to ask. Show the plan with `fleetscore plan`, and start the execution "
            "without --confirm."
        )
    found = _plan(invocation, request_json)
    if found.problem_count:
        raise CommandError(problems_text(found))
    # On standard error, because standard output holds only data.
    invocation.output.show_notice(*plan_view(found, invocation.stage))
    if not click.confirm("Start the execution?", default=False, err=True):
        raise CommandError("Nothing was started.")


def _plan(invocation: Invocation, request_json: str, *, all_jobs: bool = False) -> RequestCheck:
    return check_on_stage(
        invocation.connection, invocation.stage, ExecutionKind.SCORING, request_json, all_jobs=all_jobs
    )
