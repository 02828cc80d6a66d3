"""`fleetscore models delete`: remove a model, or one of its versions."""

import sys

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import model_argument
from cli.failures import CommandError, ExitStatus
from cli.stage.catalog.model_deletion import Deletion, ModelDeletion
from cli.views.tables import counted


@click.command(
    "delete",
    cls=Command,
    examples="""
    fleetscore models delete churn
    fleetscore models delete churn --version 3 --yes
    """,
)
@model_argument
@click.option("--version", metavar="V", help="Delete only this version, which may not be current.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(invocation: Invocation, *, model_id: str, version: str | None, yes: bool) -> ExitStatus:
    """Delete a model with its versions and its recipe, or one version.

    Refused while a fleet has the model, a running execution uses it, or the version is current.
    Predictions and records of executions stay. S3 keeps deleted artifacts for the setting
    noncurrent_version_days.
    """
    deletion = ModelDeletion(invocation.connection, invocation.changed_deployment())
    if version is None:
        names = deletion.check_model(model_id)
        _confirm(f"model {model_id} with {counted(len(names), 'version')}", model_id, yes=yes)
        done = deletion.delete_model(model_id)
    else:
        deletion.check_version(model_id, version)
        _confirm(f"version {version} of model {model_id}", model_id, yes=yes)
        done = deletion.delete_version(model_id, version)
    value = {
        "model_id": done.model_id,
        "versions": list(done.versions),
        "recipe": done.recipe,
        "objects": done.objects,
        "model_deleted": done.whole,
    }
    invocation.output.data(value, _sentence(done), _KEPT)
    return ExitStatus.SUCCEEDED


_KEPT = "S3 keeps what was deleted for the setting `noncurrent_version_days`. Predictions and executions stay."


def _sentence(done: Deletion) -> str:
    if not done.whole:
        return f"Deleted version {done.versions[0]} of model {done.model_id}."
    recipe = " and its recipe" if done.recipe else ""
    return f"Deleted model {done.model_id} with {counted(len(done.versions), 'version')}{recipe}."


def _confirm(subject: str, model_id: str, *, yes: bool) -> None:
    """Have the person type the model's id, unless they said yes.

    Raises:
        CommandError: when nobody can be asked, or the answer is another text.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"Add --yes to delete {subject}: there is no terminal to ask.")
    # On standard error, because standard output holds only data.
    answer = click.prompt(f"Type {model_id} to delete {subject}", default="", show_default=False, err=True)
    if answer != model_id:
        raise CommandError("Nothing was deleted.")
