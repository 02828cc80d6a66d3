"""Training recipes in the table, and their scripts in the models bucket."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cli.documents.recipe_document import RecipeDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.catalog_table import MAX_TRIES, CatalogTable, VersionTakenError, catalog_ids, now
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import training_layout
from contract.problems import InvalidInputError
from contract.table import catalog_items, records
from contract.training.recipes import ModelRecipe


class Recipes:
    """The recipes of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._items = CatalogTable(self._table, connection)
        self._catalog = Catalog(connection, deployment)
        self._s3 = connection.client("s3")
        self._bucket = deployment.models_bucket

    def set(self, document: RecipeDocument, *, updated_by: str = "") -> ModelRecipe:
        """Upload the training script, if there is one, then replace the model's recipe.

        Raises:
            InvalidInputError: when its fleet does not exist, or the recipe is too large for its record. Nothing is
                uploaded then.
        """
        if problems := self._catalog.fleet_problems([document.recipe])[0]:
            raise InvalidInputError(f"recipe of model {document.recipe.model_id}", problems)
        recipe = replace(document.recipe, updated_at=now(), updated_by=updated_by)
        item = catalog_items.recipe_item(recipe)
        if document.archive is not None and recipe.code is not None:
            # The key contains the digest, so an object that exists there has the same bytes.
            key = training_layout.code_key(recipe.model_id, recipe.code.sha256)
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=document.archive)
        self._write(recipe.model_id, self._items.put_recipe(item))
        return recipe

    def all(self) -> list[ModelRecipe]:
        """Return every recipe, by model id."""
        return self._items.recipes(catalog_ids(self._table, "RECIPE"))

    def find(self, model_id: str) -> ModelRecipe | None:
        item = self._table.get_item(Key=catalog_items.recipe_key(model_id), ConsistentRead=True).get("Item")
        return records.read_item(ModelRecipe, item) if item else None

    def show(self, model_id: str) -> ModelRecipe:
        """Return a model's recipe.

        Raises:
            CommandError: when the model has no recipe.
        """
        recipe = self.find(model_id)
        if recipe is None:
            raise CommandError(no_recipe_message(model_id))
        return recipe

    def remove(self, model_id: str) -> ModelRecipe:
        """Remove a model's recipe and return it; the versions stay.

        Raises:
            CommandError: when the model has no recipe.
        """
        gone = self.show(model_id)
        self._write(model_id, self._items.delete_listed("RECIPE", model_id, {}))
        return gone

    def _write(self, model_id: str, actions: Sequence[dict[str, Any]]) -> None:
        for _ in range(MAX_TRIES):
            try:
                return self._items.write(*actions)
            except VersionTakenError:
                continue
        raise CommandError(f"Another command is changing the recipe of model {model_id}. Try again.")


def no_recipe_message(model_id: str) -> str:
    return (
        f"Model {model_id!r} has no recipe. `fleetscore models recipe list` shows all recipes, "
        f"`fleetscore models recipe set {model_id} @recipe.json` sets one."
    )
