"""Moves the pointers to the latest complete predictions, in the table and in S3."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from contract import codec
from contract.json_text import dump_json
from contract.problems import InvalidInputError
from contract.table import records
from contract.table.latest_predictions import PLACE, LatestPredictions, latest_item, latest_key, read_latest
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.parallel import in_parallel
from lambdas.stage.tables.table import Table, in_transactions

_MAX_TRIES = 5
"""Tries to write a manifest while concurrent executions write it too."""
_IS_NOT_OLDER = "attribute_not_exists(#place) OR #place <= :place"
"""Condition of a write that must not replace a later pointer."""


class LatestPointers(Table):
    """Writes pointers. A pointer never moves back to predictions that were planned earlier."""

    def __init__(self, dynamodb: Any, table_name: str, store: ObjectStore) -> None:
        """`dynamodb` is a boto3 resource's client, which takes and returns plain Python values."""
        super().__init__(dynamodb, table_name)
        self._store = store

    def move(self, pointers: Iterable[LatestPredictions]) -> int:
        """Move the pointers to these predictions, except those that lead to later ones. Idempotent.

        Return how many lead to these predictions then.
        """
        items = {latest.key: latest_item(latest) for latest in pointers}
        moved = chain.from_iterable(in_parallel(self._put_items, in_transactions(items.values())))
        return sum(in_parallel(self._put_manifest, moved))

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

    def _put_items(self, items: Sequence[dict[str, Any]]) -> list[tuple[LatestPredictions, bool]]:
        """Write the items that are not older than those in the table, in one transaction.

        Return their pointers, each with whether the table had none before. They are written one by one if
        another execution moves some of them.
        """
        names = (records.PARTITION_KEY, records.SORT_KEY)
        known = self._get_each(*({name: item[name] for name in names} for item in items))
        moving = [
            (item, before is None)
            for item, before in zip(items, known, strict=True)
            # A pointer never moves back, so what is later stays later.
            if before is None or before.get(PLACE, "") <= item[PLACE]
        ]
        if not self._write_together([self._put_latest(item) for item, _ in moving]):
            moving = [(item, is_new) for item, is_new in moving if self._put_one(item)]
        return [(read_latest(item), is_new) for item, is_new in moving]

    def _put_latest(self, item: dict[str, Any]) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table_name,
                "Item": item,
                "ConditionExpression": _IS_NOT_OLDER,
                "ExpressionAttributeNames": {"#place": PLACE},
                "ExpressionAttributeValues": {":place": item[PLACE]},
            }
        }

    def _put_one(self, item: dict[str, Any]) -> bool:
        return self._put(item, condition=_IS_NOT_OLDER, names={"#place": PLACE}, values={":place": item[PLACE]})

    def _put_manifest(self, moved: tuple[LatestPredictions, bool]) -> bool:
        """Write the manifest if it is still the one that was compared. That of a new pointer is expected not to exist.

        An execution that has written its item may be overtaken before it writes the manifest.
        """
        latest, is_new = moved
        body = dump_json(codec.to_json(latest), indent=1).encode()
        if is_new and self._store.replace_result(latest.key, body, ""):
            return True
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
