"""`fleetscore train`: start training executions."""

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import start_options, words
from cli.commands.executions import request_check
from cli.commands.executions.executions import start
from cli.commands.executions.request_text import read_request, with_names
from cli.failures import ExitStatus
from cli.stage.executions.executions import Executions, check_training_request
from contract.status import ExecutionKind


@click.command(
    "train",
    cls=Command,
    examples="""
    fleetscore train
    fleetscore train --models churn,upsell --wait
    fleetscore train --models churn --force
    fleetscore train --check
    """,
)
@click.option(
    "--models", type=words, metavar="A,B", help="Models to train. Default: every enabled model with a recipe."
)
@click.option("--force", is_flag=True, help="Train also where objects, recipe and image are unchanged.")
@click.option("--input", "request", default="{}", metavar="JSON|@file", help="The request. Default: {}.")
@start_options
@click.pass_obj
def train(
    invocation: Invocation,
    *,
    models: list[str] | None,
    force: bool,
    request: str,
    name: str | None,
    wait: bool,
    check: str | None,
) -> ExitStatus:
    """Train models by their recipes, and promote versions that are good enough."""
    request_json = with_names(read_request(request), models=models, train_unchanged=True if force else None)
    check_training_request(request_json)
    if check is not None:
        return request_check.check(invocation, ExecutionKind.TRAINING, request_json, check)
    executions = Executions(invocation.connection, invocation.changed_deployment())
    return start(executions, request_json, invocation.output, name=name, wait=wait, kind=ExecutionKind.TRAINING)
