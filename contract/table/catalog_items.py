"""The items of models, versions, recipes and fleets, and their keys."""

from collections.abc import Mapping
from typing import Any

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import DeletedVersion, Model, ModelVersion
from contract.table.item_size import check_item_size
from contract.table.records import (
    FLEET_PARTITIONS,
    FLEET_SORT_KEY,
    FLEETS_COLLECTION,
    INDEX_PARTITION_KEY,
    INDEX_SORT_KEY,
    MODEL_PARTITIONS,
    MODEL_SORT_KEY,
    MODELS_COLLECTION,
    PARTITION_KEY,
    RECIPE_SORT_KEY,
    RECIPES_COLLECTION,
    SORT_KEY,
    VERSION_SORT_PREFIX,
    read_item,
    record_item,
)
from contract.training.recipes import ModelRecipe

_DELETED_AT = "deleted_at"
"""Attribute that only items of deleted versions have."""
EXISTING_VERSION = f"attribute_exists({PARTITION_KEY}) AND attribute_not_exists({_DELETED_AT})"
"""Condition on the item of a version that exists and was not deleted."""

_TOO_LARGE = (
    "Declare fewer columns, give columns shorter names, or shorten tags and other texts; an embedding can be one "
    "column of a list type."
)


def model_key(model_id: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{MODEL_PARTITIONS}{model_id}", SORT_KEY: MODEL_SORT_KEY}


def version_key(model_id: str, version: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{MODEL_PARTITIONS}{model_id}", SORT_KEY: f"{VERSION_SORT_PREFIX}{version}"}


def recipe_key(model_id: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{MODEL_PARTITIONS}{model_id}", SORT_KEY: RECIPE_SORT_KEY}


def fleet_key(fleet_id: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{FLEET_PARTITIONS}{fleet_id}", SORT_KEY: FLEET_SORT_KEY}


def model_item(model: Model) -> dict[str, Any]:
    """Return a model's item.

    Raises:
        InvalidInputError: DynamoDB does not store an item of this size.
    """
    index = {INDEX_PARTITION_KEY: MODELS_COLLECTION, INDEX_SORT_KEY: model.model_id}
    item = record_item(model, {**model_key(model.model_id), **index}, None)
    check_item_size(f"model {model.model_id}", item, "Give the model fewer or shorter tags.")
    return item


def version_item(version: ModelVersion) -> dict[str, Any]:
    """Return a version's item.

    Raises:
        InvalidInputError: DynamoDB does not store an item of this size.
    """
    spec = version.spec
    item = record_item(version, version_key(spec.model_id, spec.version), None)
    check_item_size(f"model {spec.model_id}", item, _TOO_LARGE)
    return item


def deleted_version_item(deleted: DeletedVersion) -> dict[str, Any]:
    """Return the item that replaces a deleted version's.

    It has the same key, so that every write of a new version on condition that it does not exist
    fails.
    """
    return record_item(deleted, version_key(deleted.model_id, deleted.version), None)


def read_version(item: Mapping[str, Any]) -> ModelVersion | None:
    """Return the version of an item; None if it was deleted."""
    return None if is_deleted_version(item) else read_item(ModelVersion, item)


def is_deleted_version(item: Mapping[str, Any]) -> bool:
    return _DELETED_AT in item


def recipe_item(recipe: ModelRecipe) -> dict[str, Any]:
    """Return a recipe's item.

    Raises:
        InvalidInputError: DynamoDB does not store an item of this size.
    """
    index = {INDEX_PARTITION_KEY: RECIPES_COLLECTION, INDEX_SORT_KEY: recipe.model_id}
    item = record_item(recipe, {**recipe_key(recipe.model_id), **index}, None)
    check_item_size(f"recipe of model {recipe.model_id}", item, _TOO_LARGE)
    return item


def fleet_item(fleet: FleetRecord) -> dict[str, Any]:
    index = {INDEX_PARTITION_KEY: FLEETS_COLLECTION, INDEX_SORT_KEY: fleet.fleet_id}
    return record_item(fleet, {**fleet_key(fleet.fleet_id), **index}, None)
