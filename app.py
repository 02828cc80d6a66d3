"""The CDK app: settings, stacks, checks.

`CDK_OUTDIR=cdk.out python app.py` synthesizes it, without any AWS call.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError, Problem, count_problems, list_problems
from infra.acknowledgements import acknowledge, acknowledge_triggers
from infra.settings import read_settings
from infra.stacks.compute import ComputeStack
from infra.stacks.storage import StorageStack
from infra.stacks.triggers import TriggersStack
from infra.stacks.workflow import WorkflowStack

CDK_JSON = Path(__file__).resolve().parent / "cdk.json"


def build_app(*, context: Mapping[str, Any] | None = None, outdir: Path | None = None) -> App:
    """Build the app without synthesizing it.

    Args:
        context: overrides the context of cdk.json; context that the CDK CLI passes overrides both.
        outdir: folder of the cloud assembly; None means the folder that `CDK_OUTDIR` names.

    Raises:
        InvalidInputError: with every problem of the settings, before any construct is created.
    """
    defaults = context_of(CDK_JSON)
    app = App(context={**defaults, **(context or {})}, outdir=str(outdir) if outdir else None)
    settings = read_settings(app.node)
    storage = StorageStack(app, f"fleetscore-{settings.stage}-storage", settings=settings)
    compute = ComputeStack(app, f"fleetscore-{settings.stage}-compute", settings=settings)
    workflow = WorkflowStack(app, f"fleetscore-{settings.stage}-workflow", settings=settings)
    triggers = TriggersStack(app, f"fleetscore-{settings.stage}-triggers", settings=settings)
    compute.add_stack_dependency(storage)
    workflow.add_stack_dependency(compute)
    triggers.add_stack_dependency(workflow)
    Tags.of(app).add("fleetscore:stage", settings.stage)
    acknowledge(settings=settings, storage=storage, compute=compute, workflow=workflow)
    acknowledge_triggers(triggers, settings.stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
    return app


def context_of(file: Path) -> dict[str, Any]:
    """Return the context of a file. It is read here, too, because the CDK CLI takes the last of repeated names."""
    try:
        context: dict[str, Any] = parse_json(file.read_bytes())["context"]
    except JsonError as error:
        remedy = "Correct the file."
        raise InvalidInputError("settings", [Problem(file.name, "text", f"JSON, but {error}", remedy)]) from error
    return context


if __name__ == "__main__":
    try:
        build_app().synth()
    except InvalidInputError as error:
        lines = [f"  - {problem}" for problem in list_problems(error.problems)]
        sys.exit("\n".join([f"{error.subject} has {count_problems(error.problems)}:", *lines]))
