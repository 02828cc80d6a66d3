"""`fleetscore models recipe`: how models are trained."""

from pathlib import Path

import rich_click as click

from cli.command_line.click_classes import CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import model_argument
from cli.documents.recipe_document import read_recipe
from cli.failures import CommandError, ExitStatus
from cli.stage.catalog.catalog import caller
from cli.stage.catalog.recipes import Recipes
from cli.views.models.recipes import recipe_fields, recipes_table
from cli.views.tables import fields_table, plain_json


@click.group("recipe", cls=CommandGroup, examples="fleetscore models recipe list")
def recipe() -> None:
    """Set, list, show or remove models' training recipes."""


@recipe.command("set", examples="fleetscore models recipe set churn @churn/recipe.json")
@model_argument
@argument("document", metavar="@recipe.json", help="File with trainer, datasets, label, features and more.")
@click.pass_obj
def set_recipe(invocation: Invocation, *, model_id: str, document: str) -> ExitStatus:
    """Set a model's recipe."""
    if not document.startswith("@"):
        raise CommandError(f"Write the recipe as @file.json, got {document!r}.")
    read = read_recipe(model_id, Path(document[1:]).expanduser())
    recipes = Recipes(invocation.connection, invocation.changed_deployment())
    written = recipes.set(read, updated_by=caller(invocation.connection))
    shown = f"Recipe of {model_id} set. `fleetscore train --models {model_id}` trains it."
    invocation.output.data(plain_json(written), shown)
    return ExitStatus.SUCCEEDED


@recipe.command("list", examples="fleetscore models recipe list")
@click.pass_obj
def list_recipes(invocation: Invocation) -> ExitStatus:
    """List every recipe."""
    found = Recipes(invocation.connection, invocation.deployment()).all()
    shown = recipes_table(found) if found else "No recipes. Set one with `fleetscore models recipe set`."
    invocation.output.data([plain_json(recipe) for recipe in found], shown)
    return ExitStatus.SUCCEEDED


@recipe.command("show", examples="fleetscore models recipe show churn")
@model_argument
@click.pass_obj
def show_recipe(invocation: Invocation, *, model_id: str) -> ExitStatus:
    """Show a model's recipe."""
    found = Recipes(invocation.connection, invocation.deployment()).show(model_id)
    invocation.output.data(plain_json(found), fields_table(recipe_fields(found)))
    return ExitStatus.SUCCEEDED


@recipe.command("remove", examples="fleetscore models recipe remove churn")
@model_argument
@click.pass_obj
def remove_recipe(invocation: Invocation, *, model_id: str) -> ExitStatus:
    """Remove a model's recipe; its versions stay."""
    removed = Recipes(invocation.connection, invocation.changed_deployment()).remove(model_id)
    invocation.output.data(plain_json(removed), f"Recipe of {model_id} removed. Its versions stay.")
    return ExitStatus.SUCCEEDED
