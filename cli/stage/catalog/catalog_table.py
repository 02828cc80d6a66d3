"""Models and their versions as items of the table: reads, and writes under conditions."""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from cli.stage.connection import Connection, query_items
from contract.catalog.models import DeletedVersion, Model, ModelVersion
from contract.table import catalog_items, records
from contract.table.catalog_ids import Kind, catalog_id_key, catalog_id_queries, model_id_of
from contract.table.item_size import MAX_TRANSACTION_BYTES, item_size
from contract.training.recipes import ModelRecipe

_BATCH_GET_ITEMS = 100
"""Maximum number of keys that DynamoDB accepts in one BatchGetItem call."""
TRANSACTION_ITEMS = 100
"""Maximum number of actions that DynamoDB accepts in one transaction."""
MAX_TRIES = 5
"""Maximum number of tries of a change while others change the same model."""
_TRANSACTION_BYTES = MAX_TRANSACTION_BYTES // 2
"""Largest sum of the items that are put in one transaction, in bytes.

A request is larger than its items.
"""
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses after a transaction that DynamoDB throttled, in seconds. botocore does not repeat it.

All ids are in one partition, which takes about 15 transactions per second that each add 33 of them.
"""
_THROTTLED = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})
_ITEMS = frozenset({"Item", "Key", "ExpressionAttributeValues"})
"""Arguments of actions that hold values of items."""
_SERIALIZER = TypeSerializer()
_ABSENT = f"attribute_not_exists({records.PARTITION_KEY})"


class VersionTakenError(Exception):
    """The version was written, or the model changed, since it was read."""


@dataclass(frozen=True)
class KnownModel:
    """What the table has of a model."""

    model: Model | None
    """None if no version is current."""
    versions: Mapping[str, ModelVersion]
    """Versions by name."""
    deleted: Mapping[str, DeletedVersion]
    """Deleted versions by name. No other version gets their names."""


class CatalogTable:
    """The catalog's items in the table of one deployment."""

    def __init__(self, table: Any, connection: Connection) -> None:
        self._table = table
        self._connection = connection
        self._lock = threading.Lock()
        self._writer: Any = None

    def read(self, model_id: str) -> tuple[Model | None, Mapping[str, ModelVersion]]:
        """Return a model, or None, and its versions by name."""
        known = self.read_with_deleted(model_id)
        return known.model, known.versions

    def read_with_deleted(self, model_id: str) -> KnownModel:
        """Return a model, its versions, and the names of those that were deleted."""
        condition = Key(records.PARTITION_KEY).eq(catalog_items.model_key(model_id)[records.PARTITION_KEY])
        model: Model | None = None
        versions: dict[str, ModelVersion] = {}
        deleted: dict[str, DeletedVersion] = {}
        for item in query_items(self._table, KeyConditionExpression=condition, ConsistentRead=True):
            if item[records.SORT_KEY] == records.MODEL_SORT_KEY:
                model = records.read_item(Model, item)
            elif str(item[records.SORT_KEY]).startswith(records.VERSION_SORT_PREFIX):
                version = catalog_items.read_version(item)
                if version is None:
                    gone = records.read_item(DeletedVersion, item)
                    deleted[gone.version] = gone
                else:
                    versions[version.spec.version] = version
        return KnownModel(model, versions, deleted)

    def read_all(self, wanted: Sequence[tuple[str, str]]) -> dict[str, KnownModel]:
        """Return models by id, each for the name of a version that is wanted.

        Two keys are read per model. A model is new if it has no current version and if the wanted version
        was never written: new models take no further request. Versions of it that wait for approval under
        other names are not read.
        """
        keys = [
            key
            for model_id, version in wanted
            for key in (catalog_items.model_key(model_id), catalog_items.version_key(model_id, version))
        ]
        found = {str(item[records.PARTITION_KEY]) for item in self.items(keys, records.PARTITION_KEY)}
        return {
            model_id: self.read_with_deleted(model_id)
            if catalog_items.model_key(model_id)[records.PARTITION_KEY] in found
            else KnownModel(None, {}, {})
            for model_id, _ in wanted
        }

    def all_models(self) -> list[Model]:
        """Return every model, by id. All reads are consistent."""
        return [model for _, model in sorted(self.models(catalog_ids(self._table, "MODEL")).items())]

    def models(self, model_ids: Sequence[str]) -> dict[str, Model]:
        """Return the models with these ids that exist, by id."""
        keys = [catalog_items.model_key(model_id) for model_id in model_ids]
        found = (records.read_item(Model, item) for item in self.items(keys))
        return {model.model_id: model for model in found}

    def versions(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ModelVersion]:
        """Return the versions with these names that exist, by model id and version name."""
        keys = [catalog_items.version_key(model_id, version) for model_id, version in names]
        found = map(catalog_items.read_version, self.items(keys))
        return {(version.spec.model_id, version.spec.version): version for version in found if version is not None}

    def fleet_ids(self, fleet_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that are ids of fleets."""
        keys = [catalog_items.fleet_key(fleet_id) for fleet_id in dict.fromkeys(fleet_ids)]
        return {str(item["fleet_id"]) for item in self.items(keys)}

    def recipes(self, model_ids: Sequence[str]) -> list[ModelRecipe]:
        """Return the recipes that these models have, by model id."""
        found = [
            records.read_item(ModelRecipe, item) for item in self.items(list(map(catalog_items.recipe_key, model_ids)))
        ]
        return sorted(found, key=lambda recipe: recipe.model_id)

    def items(self, keys: Sequence[dict[str, str]], attributes: str = "") -> Iterator[dict[str, Any]]:
        """Yield the items with these keys that exist, in any order; all their attributes if none are named."""
        name = self._table.name
        projection = {"ProjectionExpression": attributes} if attributes else {}
        for start in range(0, len(keys), _BATCH_GET_ITEMS):
            batch = {"Keys": list(keys[start : start + _BATCH_GET_ITEMS]), "ConsistentRead": True, **projection}
            wanted: Mapping[str, Any] = {name: batch}
            while wanted:
                answer = self._table.meta.client.batch_get_item(RequestItems=wanted)
                yield from answer["Responses"].get(name, [])
                wanted = answer.get("UnprocessedKeys", {})

    def put_version(self, version: ModelVersion) -> dict[str, Any]:
        """Return the action that writes a version, if its name was never used."""
        return self._put(catalog_items.version_item(version), {"ConditionExpression": _ABSENT})

    def put_deleted_version(self, model_id: str, version: str) -> dict[str, Any]:
        """Return the action that deletes a version, and keeps its name from being used again."""
        return self._put(catalog_items.deleted_version_item(DeletedVersion(model_id, version, now())), {})

    def put_decided_version(self, version: ModelVersion, before: ModelVersion) -> dict[str, Any]:
        """Return the action that replaces a version, if its decision is still that of `before`."""
        assert before.decision is not None  # noqa: S101 - a version without a decision is never replaced
        unchanged = {
            "ConditionExpression": "decision.#state = :seen",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {":seen": before.decision.state.value},
        }
        return self._put(catalog_items.version_item(version), unchanged)

    def put_model(self, model: Model, before: Model | None) -> list[dict[str, Any]]:
        """Return the actions that write a model on condition that it still equals `before`.

        A new model is also added to the list of ids.
        """
        if before is None:
            listed = self._put(catalog_id_key("MODEL", model.model_id), {})
            return [self._put(catalog_items.model_item(model), {"ConditionExpression": _ABSENT}), listed]
        unchanged = {
            "ConditionExpression": "updated_at = :seen AND current_version = :current",
            "ExpressionAttributeValues": {":seen": before.updated_at, ":current": before.current_version},
        }
        return [self._put(catalog_items.model_item(model), unchanged)]

    def put_recipe(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the actions that write a recipe's item, and add it to the list of ids."""
        return [self._put(item, {}), self._put(catalog_id_key("RECIPE", str(item["model_id"])), {})]

    def delete_listed(self, kind: Kind, model_id: str, condition: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the actions that delete a model's or a recipe's item, and its id from the list."""
        key = catalog_items.model_key(model_id) if kind == "MODEL" else catalog_items.recipe_key(model_id)
        return [
            {"Delete": {"TableName": self._table.name, "Key": key, **condition}},
            {"Delete": {"TableName": self._table.name, "Key": catalog_id_key(kind, model_id)}},
        ]

    def _put(self, item: dict[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self._table.name, "Item": item, **condition}}

    def version_exists(self, model_id: str, version: str) -> dict[str, Any]:
        """Return the action that writes nothing, and fails unless a version exists."""
        key, condition = catalog_items.version_key(model_id, version), catalog_items.EXISTING_VERSION
        return {"ConditionCheck": {"TableName": self._table.name, "Key": key, "ConditionExpression": condition}}

    def write(self, *actions: dict[str, Any]) -> None:
        """Carry out all actions in one transaction, or none.

        Raises:
            VersionTakenError: when a condition does not hold.
        """
        serialized = list(map(_serialized, actions))
        for seconds in (*_PAUSES, None):
            try:
                self._transactions().transact_write_items(TransactItems=serialized)
            except ClientError as error:
                reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise VersionTakenError from error
                if seconds is None or not reasons & _THROTTLED:
                    raise
                time.sleep(random.uniform(seconds / 2, seconds))  # noqa: S311 - not for secrets
            else:
                return

    def _transactions(self) -> Any:
        """Return the client of transactions. It is created by the first one, of any thread.

        The table's own client copies all values of a request twice to find those to convert.
        """
        with self._lock:
            if self._writer is None:
                self._writer = self._connection.bulk_client("dynamodb")
            return self._writer

    def set_enabled(self, model_id: str, enabled: bool) -> Model | None:
        """Include a model in executions or exclude it; return it, or None if it does not exist."""
        try:
            answer = self._table.update_item(
                Key=catalog_items.model_key(model_id),
                UpdateExpression="SET enabled = :enabled, updated_at = :now",
                ConditionExpression=Attr(records.PARTITION_KEY).exists(),
                ExpressionAttributeValues={":enabled": enabled, ":now": now()},
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return records.read_item(Model, answer["Attributes"])


def catalog_ids(table: Any, kind: Kind) -> list[str]:
    """Return the ids of all models, or of those that have a recipe; some may have been deleted."""
    found = (item for query in catalog_id_queries(kind) for item in query_items(table, **query))
    return list(dict.fromkeys(map(model_id_of, found)))


def _serialized(action: Mapping[str, Any]) -> dict[str, Any]:
    """Return an action with the values of its items as DynamoDB's API takes them.

    >>> _serialized({"Delete": {"TableName": "some-table", "Key": {"pk": "MODEL#"}}})
    {'Delete': {'TableName': 'some-table', 'Key': {'pk': {'S': 'MODEL#'}}}}
    """
    [(kind, arguments)] = action.items()
    return {
        kind: {
            name: {key: _SERIALIZER.serialize(item) for key, item in value.items()} if name in _ITEMS else value
            for name, value in arguments.items()
        }
    }


def check_version_size(version: ModelVersion) -> None:
    """Check that the table takes a version's record.

    Raises:
        InvalidInputError: when it is too large.
    """
    catalog_items.version_item(version)


def put_size(actions: Sequence[Mapping[str, Any]]) -> int:
    """Return the size of the items that actions put, in bytes."""
    return sum(item_size(action["Put"]["Item"]) for action in actions if "Put" in action)


def fits_transaction(actions: int, size: int) -> bool:
    """Return whether one transaction holds this number of actions, which put items of `size` bytes."""
    return actions <= TRANSACTION_ITEMS and size <= _TRANSACTION_BYTES


def error_status(error: ClientError) -> int:
    """Return the HTTP status of an error answer; 500 if it is unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def now() -> str:
    """Return the current UTC time in the form of records: ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
