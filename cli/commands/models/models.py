"""`fleetscore models`: show models, and decide which version executions use."""

import rich_click as click

from cli.command_line.click_classes import CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import model_argument, reason_option, version_argument
from cli.documents.comparison import compare
from cli.failures import ExitStatus
from cli.stage.catalog.catalog import Catalog, caller, no_current_version_message
from cli.stage.catalog.decisions import Decisions
from cli.views.models.models import (
    comparison_json,
    comparison_view,
    decision_line,
    history_table,
    model_json,
    models_table,
    version_table,
    versions_table,
)
from cli.views.tables import one_line, plain_json
from contract.catalog.models import Model


@click.group(
    "models",
    cls=CommandGroup,
    sections={
        "Add models": ["register", "import", "test"],
        "Inspect models": ["list", "show", "compare"],
        "Choose the current version": ["promote", "rollback", "approve", "reject"],
        "Include in executions": ["enable", "disable"],
        "Train": ["recipe"],
        "Delete": ["delete"],
    },
    modules={
        "register": "cli.commands.models.registration:register",
        "import": "cli.commands.models.registration:import_model",
        "test": "cli.commands.models.model_test:test",
        "recipe": "cli.commands.models.recipes:recipe",
        "delete": "cli.commands.models.model_deletion:delete",
    },
    examples="""
    fleetscore models list
    fleetscore models register @churn/model.json
    """,
)
def models() -> None:
    """Register models, choose their versions, and set how they are trained."""


@models.command(
    "list",
    examples="""
    fleetscore models list
    fleetscore models list --json | jq -r '.[].model_id'
    """,
)
@click.pass_obj
def list_models(invocation: Invocation) -> ExitStatus:
    """List every model."""
    found = Catalog(invocation.connection, invocation.deployment()).models()
    shown = models_table(found) if found else "No models. Register one with `fleetscore models register`."
    invocation.output.data([model_json(model, version) for model, version in found], shown)
    return ExitStatus.SUCCEEDED


@models.command(
    "show",
    examples="""
    fleetscore models show churn
    fleetscore models show churn --version 3
    """,
)
@model_argument
@click.option("--version", metavar="V", help="Show every field of this version.")
@click.pass_obj
def show(invocation: Invocation, *, model_id: str, version: str | None) -> ExitStatus:
    """Show a model, its versions, and the history of its current version."""
    catalog = Catalog(invocation.connection, invocation.deployment())
    model, versions = catalog.show(model_id, version)
    details = version_table(versions[0]) if version else versions_table(model, versions)
    decided = [line for line in map(decision_line, versions) if line]
    history = [history_table(model)] if model is not None and model.history and not version else []
    about = {"model_id": model_id, "current_version": None} if model is None else plain_json(model)
    heading = no_current_version_message(model_id) if model is None else _describe(model)
    value = {**about, "versions": [plain_json(v) for v in versions]}
    invocation.output.data(value, heading, details, *decided, *history)
    return ExitStatus.SUCCEEDED


@models.command("compare", examples="fleetscore models compare churn 2 3")
@model_argument
@argument("first", metavar="VERSION", help="The version to compare from.")
@argument("second", metavar="VERSION", help="The version to compare to.")
@click.pass_obj
def compare_versions(invocation: Invocation, *, model_id: str, first: str, second: str) -> ExitStatus:
    """Show the differences between two versions of a model."""
    catalog = Catalog(invocation.connection, invocation.deployment())
    [before] = catalog.show(model_id, first)[1]
    [after] = catalog.show(model_id, second)[1]
    found = compare(before, after)
    invocation.output.data(comparison_json(found), *comparison_view(found))
    return ExitStatus.SUCCEEDED


@models.command("promote", examples='fleetscore models promote churn 2 --reason "version 3 drifts"')
@model_argument
@version_argument
@reason_option
@click.pass_obj
def promote(invocation: Invocation, *, model_id: str, version: str, reason: str) -> ExitStatus:
    """Make a version the current one."""
    catalog = Catalog(invocation.connection, invocation.changed_deployment())
    model = catalog.promote(model_id, version, changed_by=caller(invocation.connection), reason=reason)
    return _print_model(invocation, model)


@models.command("rollback", examples='fleetscore models rollback churn --reason "too many nulls"')
@model_argument
@reason_option
@click.pass_obj
def roll_back(invocation: Invocation, *, model_id: str, reason: str) -> ExitStatus:
    """Restore the previous version as the current one."""
    catalog = Catalog(invocation.connection, invocation.changed_deployment())
    model = catalog.roll_back(model_id, changed_by=caller(invocation.connection), reason=reason)
    return _print_model(invocation, model)


@models.command("approve", examples="fleetscore models approve churn train-2026-03-01")
@model_argument
@version_argument
@reason_option
@click.pass_obj
def approve(invocation: Invocation, *, model_id: str, version: str, reason: str) -> ExitStatus:
    """Make a trained version the current one."""
    decisions = Decisions(invocation.connection, invocation.changed_deployment())
    _, decided = decisions.approve(model_id, version, changed_by=caller(invocation.connection), reason=reason)
    invocation.output.data(plain_json(decided), decision_line(decided))
    return ExitStatus.SUCCEEDED


@models.command("reject", examples='fleetscore models reject churn train-2026-03-01 --reason "drifts"')
@model_argument
@version_argument
@reason_option
@click.pass_obj
def reject(invocation: Invocation, *, model_id: str, version: str, reason: str) -> ExitStatus:
    """Reject a trained version that waits for approval."""
    decisions = Decisions(invocation.connection, invocation.changed_deployment())
    _, decided = decisions.reject(model_id, version, changed_by=caller(invocation.connection), reason=reason)
    invocation.output.data(plain_json(decided), decision_line(decided))
    return ExitStatus.SUCCEEDED


@models.command("enable", examples="fleetscore models enable churn")
@model_argument
@click.pass_obj
def enable(invocation: Invocation, *, model_id: str) -> ExitStatus:
    """Include a model in executions."""
    catalog = Catalog(invocation.connection, invocation.changed_deployment())
    return _print_model(invocation, catalog.set_enabled(model_id, True))


@models.command("disable", examples="fleetscore models disable churn")
@model_argument
@click.pass_obj
def disable(invocation: Invocation, *, model_id: str) -> ExitStatus:
    """Exclude a model from executions."""
    catalog = Catalog(invocation.connection, invocation.changed_deployment())
    return _print_model(invocation, catalog.set_enabled(model_id, False))


def _print_model(invocation: Invocation, model: Model) -> ExitStatus:
    invocation.output.data(plain_json(model), _describe(model))
    return ExitStatus.SUCCEEDED


def _describe(model: Model) -> str:
    tags = "".join(f", {key}={value}" for key, value in sorted(model.tags.items()))
    enabled = "enabled" if model.enabled else "disabled"
    previous = f", previous version {model.previous_version}" if model.previous_version else ""
    return one_line(
        f"{model.model_id}: {enabled}, current version {model.current_version}{previous}{tags}{_waiting(model)}"
    )


def _waiting(model: Model) -> str:
    """Return that trained versions wait for approval, why, and how to end that; empty if they do not."""
    if model.set_back is None:
        return ""
    return (
        f". Trained versions wait for approval since it was set back to version {model.set_back.version} "
        f"({model.set_back.reason}): `fleetscore models promote {model.model_id} {model.current_version}` ends that"
    )
