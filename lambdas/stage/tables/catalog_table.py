"""Reads models, versions, fleets and recipes. All reads are consistent."""

from collections.abc import Iterable, Sequence

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import Model, ModelVersion
from contract.table import catalog_items, records
from contract.table.catalog_ids import Kind, catalog_id_queries, model_id_of
from contract.training.recipes import ModelRecipe
from lambdas.stage.tables.table import Table

_VERSIONS_PER_PAGE = 3
"""Versions per page of a query for the last trained one. They may be large, and others are rare."""


class CatalogTable(Table):
    """Reads the catalog."""

    def all_models(self) -> list[Model]:
        """Return every model as the last change has left it, ordered by model id."""
        return [model for _, model in sorted(self.models(self._catalog_ids("MODEL")).items())]

    def models(self, model_ids: Sequence[str]) -> dict[str, Model]:
        """Return the models with these ids, by id. Ids that are not in the catalog are left out."""
        items = self._get_many([catalog_items.model_key(model_id) for model_id in model_ids])
        return {model.model_id: model for model in (records.read_item(Model, item) for item in items)}

    def version(self, model_id: str, version: str) -> ModelVersion | None:
        """Return a version of a model; None if it does not exist or was deleted."""
        items = self._get_many([catalog_items.version_key(model_id, version)])
        return next((found for item in items if (found := catalog_items.read_version(item)) is not None), None)

    def version_name_used(self, model_id: str, version: str) -> bool:
        """Return whether a version has or had this name."""
        return any(True for _ in self._get_many([catalog_items.version_key(model_id, version)]))

    def last_trained_version(self, model_id: str) -> ModelVersion | None:
        """Return the last version of a model that was trained and not deleted; None if there is none."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            # Names of trained versions begin with their time, and sort by it.
            KeyConditionExpression=f"{records.PARTITION_KEY} = :model AND begins_with({records.SORT_KEY}, :trained)",
            ExpressionAttributeValues={
                ":model": catalog_items.model_key(model_id)[records.PARTITION_KEY],
                ":trained": f"{records.VERSION_SORT_PREFIX}20",
            },
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"PageSize": _VERSIONS_PER_PAGE},
        )
        versions = (catalog_items.read_version(item) for page in pages for item in page["Items"])
        return next((found for found in versions if found is not None and found.trained_by is not None), None)

    def current_versions(self, models: Iterable[Model]) -> dict[str, ModelVersion]:
        """Return the current version of each model, by model id. Missing versions are left out."""
        keys = [catalog_items.version_key(model.model_id, model.current_version) for model in models]
        versions = map(catalog_items.read_version, self._get_many(keys))
        return {version.spec.model_id: version for version in versions if version is not None}

    def fleets(self, fleet_ids: Sequence[str]) -> dict[str, FleetRecord]:
        """Return the fleets with these ids, by id. Ids of no fleet are left out."""
        items = self._get_many([catalog_items.fleet_key(fleet_id) for fleet_id in fleet_ids])
        return {fleet.fleet_id: fleet for fleet in (records.read_item(FleetRecord, item) for item in items)}

    def all_recipes(self) -> list[ModelRecipe]:
        """Return every recipe, ordered by model id."""
        return [recipe for _, recipe in sorted(self.recipes(self._catalog_ids("RECIPE")).items())]

    def recipes(self, model_ids: Sequence[str]) -> dict[str, ModelRecipe]:
        """Return the recipes of these models, by model id. Models without a recipe are left out."""
        items = self._get_many([catalog_items.recipe_key(model_id) for model_id in model_ids])
        return {recipe.model_id: recipe for recipe in (records.read_item(ModelRecipe, item) for item in items)}

    def _catalog_ids(self, kind: Kind) -> list[str]:
        paginator = self._dynamodb.get_paginator("query")
        pages = (paginator.paginate(TableName=self._table_name, **query) for query in catalog_id_queries(kind))
        return list({model_id_of(item): None for query in pages for page in query for item in page["Items"]})
