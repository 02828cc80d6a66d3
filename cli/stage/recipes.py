"""Training recipes in the table, and their scripts in the models bucket."""

from dataclasses import replace

from boto3.dynamodb.conditions import Key

from cli.documents.recipe_document import RecipeDocument
from cli.failures import CommandError
from cli.stage.catalog import Catalog
from cli.stage.catalog_table import now
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from contract import training_layout
from contract.problems import InvalidInputError
from contract.table import records
from contract.training.recipes import ModelRecipe


class Recipes:
    """The recipes of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
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
        item = records.recipe_item(recipe)
        if document.archive is not None and recipe.code is not None:
            # The key contains the digest, so an object that exists there has the same bytes.
            key = training_layout.code_key(recipe.model_id, recipe.code.sha256)
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=document.archive)
        self._table.put_item(Item=item)
        return recipe

    def all(self) -> list[ModelRecipe]:
        """Return every recipe, by model id."""
        condition = Key(records.INDEX_PARTITION_KEY).eq(records.RECIPES_COLLECTION)
        items = query_items(self._table, IndexName=records.INDEX_NAME, KeyConditionExpression=condition)
        return [records.read_item(ModelRecipe, item) for item in items]

    def find(self, model_id: str) -> ModelRecipe | None:
        item = self._table.get_item(Key=records.recipe_key(model_id), ConsistentRead=True).get("Item")
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
        gone = self._table.delete_item(Key=records.recipe_key(model_id), ReturnValues="ALL_OLD").get("Attributes")
        if not gone:
            raise CommandError(no_recipe_message(model_id))
        return records.read_item(ModelRecipe, gone)


def no_recipe_message(model_id: str) -> str:
    return (
        f"Model {model_id!r} has no recipe. `fleetscore models recipe list` shows all recipes, "
        f"`fleetscore models recipe set {model_id} @recipe.json` sets one."
    )
