"""Moves the pointers to the latest complete predictions, in the table and in S3."""

from typing import Any

from contract import codec
from contract.json_text import dump_json
from contract.problems import InvalidInputError
from contract.table import records
from contract.table.latest_predictions import PLACE, LatestPredictions, latest_item, latest_key
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.tables.table import Table

_MAX_TRIES = 5
"""Tries to write a manifest while concurrent executions write it too."""


class LatestPointers(Table):
    """Writes pointers. A pointer never moves back to predictions that were planned earlier."""

    def __init__(self, dynamodb: Any, table_name: str, store: ObjectStore) -> None:
        """`dynamodb` is a boto3 resource's client, which takes and returns plain Python values."""
        super().__init__(dynamodb, table_name)
        self._store = store

    def move(self, latest: LatestPredictions) -> bool:
        """Point to these predictions, unless later ones are known; return whether it does. Idempotent."""
        is_latest = self._put(
            latest_item(latest),
            condition="attribute_not_exists(#place) OR #place <= :place",
            names={"#place": PLACE},
            values={":place": latest.place},
        )
        return is_latest and self._put_manifest(latest)

    def executions_over(self, dataset: str) -> list[str]:
        """Return the ids of the executions to which the pointers of a dataset lead."""
        query = {
            "TableName": self._table_name,
            "KeyConditionExpression": f"{records.PARTITION_KEY} = :dataset",
            "ExpressionAttributeValues": {":dataset": latest_key(dataset, "")[records.PARTITION_KEY]},
            "ConsistentRead": True,
        }
        pages = self._dynamodb.get_paginator("query").paginate(**query)
        return sorted({item["execution_id"] for page in pages for item in page["Items"]})

    def _put_manifest(self, latest: LatestPredictions) -> bool:
        """Write the manifest if it is still the one that was compared.

        An execution that has written its item may be overtaken before it writes the manifest.
        """
        body = dump_json(codec.to_json(latest), indent=1).encode()
        for _ in range(_MAX_TRIES):
            content, etag = self._store.result_with_etag(latest.key)
            known = _read(content)
            if known == latest:
                return True
            if known is not None and known.place > latest.place:
                return False
            if self._store.replace_result(latest.key, body, etag):
                return True
        raise RuntimeError(f"{latest.key} kept changing while execution {latest.execution_id} wrote it")


def _read(content: bytes) -> LatestPredictions | None:
    """Return a manifest. One that cannot be read, such as one of another release, counts as none."""
    try:
        return codec.loads(LatestPredictions, content) if content else None
    except InvalidInputError:
        return None
