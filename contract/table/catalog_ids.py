"""The ids of all models and recipes, as items that can be read consistently.

DynamoDB updates an index some time after a write. A list of models that came from the index alone
could lack a model that was registered a moment ago, without a word. So each model and recipe has a
second, small item. It is written and deleted in the same transaction, and all of them are in one
partition.
"""

from collections.abc import Mapping
from typing import Any, Literal

from contract.table import records

Kind = Literal["MODEL", "RECIPE"]

_IDS_PARTITION = records.MODEL_PARTITIONS
"""Partition key of all ids. No model has an empty id, so it is no model's partition."""
_COLLECTION: Mapping[Kind, str] = {"MODEL": records.MODELS_COLLECTION, "RECIPE": records.RECIPES_COLLECTION}


def catalog_id_key(kind: Kind, model_id: str) -> dict[str, str]:
    """Return the key, and whole content, of the item that lists a model or its recipe.

    >>> catalog_id_key("RECIPE", "churn")
    {'pk': 'MODEL#', 'sk': 'RECIPE#churn'}
    """
    return {records.PARTITION_KEY: _IDS_PARTITION, records.SORT_KEY: f"{kind}#{model_id}"}


def catalog_id_queries(kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the two queries whose items name all models or recipes.

    The first is consistent. The second asks the index, which also has what earlier releases wrote.
    """
    consistent = {
        "KeyConditionExpression": f"{records.PARTITION_KEY} = :ids AND begins_with({records.SORT_KEY}, :kind)",
        "ExpressionAttributeValues": {":ids": _IDS_PARTITION, ":kind": f"{kind}#"},
        "ConsistentRead": True,
    }
    index = {
        "IndexName": records.INDEX_NAME,
        "KeyConditionExpression": f"{records.INDEX_PARTITION_KEY} = :collection",
        "ExpressionAttributeValues": {":collection": _COLLECTION[kind]},
        "ProjectionExpression": f"{records.PARTITION_KEY}, {records.SORT_KEY}",
    }
    return consistent, index


def model_id_of(item: Mapping[str, Any]) -> str:
    """Return the model id that an item of these queries names.

    >>> model_id_of({"pk": "MODEL#", "sk": "RECIPE#churn"}), model_id_of({"pk": "MODEL#churn", "sk": "RECIPE"})
    ('churn', 'churn')
    """
    partition = str(item[records.PARTITION_KEY])
    named = str(item[records.SORT_KEY]) if partition == _IDS_PARTITION else partition
    return named.partition("#")[2]
