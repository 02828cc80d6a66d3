"""`fleetscore train`, `fleetscore models recipe …`, `fleetscore models approve` and `reject`."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from cli.commands.executions import follow, read_request
from cli.commands.models import check_reason
from cli.documents.recipe_document import read_recipe
from cli.failures import CommandError, ExitStatus
from cli.output import Output
from cli.stage.catalog import caller
from cli.stage.connection import Connection
from cli.stage.decisions import Decisions
from cli.stage.deployment import find_deployment
from cli.stage.executions import Executions, check_training_request
from cli.stage.recipes import Recipes
from cli.views.recipes import decision_line, recipe_fields, recipes_table
from cli.views.tables import fields_table, plain_json


def train(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    request = _request(options)
    check_training_request(request)
    if options.check:
        output.data({"valid": True}, "The request is valid. Nothing was started.")
        return ExitStatus.SUCCEEDED
    executions = Executions(connection, find_deployment(connection, options.stage))
    execution_id = executions.start_training(request, options.name)
    if not options.wait:
        arn = executions.training_arn(execution_id)
        output.data({"execution_id": execution_id, "execution_arn": arn}, execution_id)
        return ExitStatus.SUCCEEDED
    output.line(f"Training execution {execution_id}")
    return follow(executions, execution_id, output)


def _request(options: Namespace) -> str:
    """The request's JSON text: --input, with --models in it."""
    text = read_request(options.input)
    if options.models is None:
        return text
    try:
        request: Any = json.loads(text)
    except json.JSONDecodeError:
        return text
    if not isinstance(request, dict):
        return text
    if "models" in request:
        raise CommandError("Name the models once: with --models or in --input.")
    return json.dumps({**request, "models": options.models})


def set_recipe(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    if not options.recipe.startswith("@"):
        raise CommandError(f"Write the recipe as @file.json, got {options.recipe!r}.")
    document = read_recipe(options.model, Path(options.recipe[1:]).expanduser())
    recipes = Recipes(connection, find_deployment(connection, options.stage))
    recipe = recipes.set(document, updated_by=caller(connection))
    shown = f"Recipe of {recipe.model_id} set. `fleetscore train --models {recipe.model_id}` trains it."
    output.data(plain_json(recipe), shown)
    return ExitStatus.SUCCEEDED


def list_recipes(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    recipes = Recipes(connection, find_deployment(connection, options.stage)).all()
    shown = recipes_table(recipes) if recipes else "No recipes. Set one with `fleetscore models recipe set`."
    output.data([plain_json(recipe) for recipe in recipes], shown)
    return ExitStatus.SUCCEEDED


def show_recipe(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    recipe = Recipes(connection, find_deployment(connection, options.stage)).show(options.model)
    output.data(plain_json(recipe), fields_table(recipe_fields(recipe)))
    return ExitStatus.SUCCEEDED


def remove_recipe(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    recipe = Recipes(connection, find_deployment(connection, options.stage)).remove(options.model)
    output.data(plain_json(recipe), f"Recipe of {recipe.model_id} removed. Its versions are as they were.")
    return ExitStatus.SUCCEEDED


def approve(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    return _decide("approve", options, connection, output)


def reject(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    return _decide("reject", options, connection, output)


def _decide(word: str, options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    check_reason(options.reason)
    decisions = Decisions(connection, find_deployment(connection, options.stage))
    decide = decisions.approve if word == "approve" else decisions.reject
    _, version = decide(options.model, options.version, changed_by=caller(connection), reason=options.reason)
    output.data(plain_json(version), decision_line(version))
    return ExitStatus.SUCCEEDED
