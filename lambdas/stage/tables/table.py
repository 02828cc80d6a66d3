"""The DynamoDB requests that all classes of this folder share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from contract.table import records
from contract.table.item_size import MAX_TRANSACTION_BYTES, item_size
from lambdas.stage.parallel import in_parallel

NEW = f"attribute_not_exists({records.PARTITION_KEY})"
"""Condition of a write that must not replace an item."""

_BATCH_GET_LIMIT = 100

_TRANSACTION_LIMIT = 100

R = TypeVar("R")


def in_transactions(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the items in lists that fit into one transaction each."""
    batch: list[dict[str, Any]] = []
    batch_bytes = 0
    for item in items:
        size = item_size(item)
        if batch and (len(batch) == _TRANSACTION_LIMIT or batch_bytes + size > MAX_TRANSACTION_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size
    if batch:
        yield batch


class Table:
    """Base class of all classes of this folder, whose items are in one DynamoDB table."""

    def __init__(self, dynamodb: Any, table_name: str) -> None:
        """`dynamodb` is a boto3 resource's client, which takes and returns plain Python values."""
        self._dynamodb = dynamodb
        self._table_name = table_name

    def _get(self, cls: type[R], key: Mapping[str, str]) -> R | None:
        answer = self._dynamodb.get_item(TableName=self._table_name, Key=dict(key), ConsistentRead=True)
        return records.read_item(cls, answer["Item"]) if "Item" in answer else None

    def _get_each(self, *keys: Mapping[str, str]) -> list[dict[str, Any] | None]:
        """Return the items with these keys, at most 100, in their order; None for each that does not exist.

        They are read in one request, in no particular order.
        """
        names = (records.PARTITION_KEY, records.SORT_KEY)
        found = {tuple(item[name] for name in names): item for item in self._get_batch(keys)}
        return [found.get(tuple(key[name] for name in names)) for key in keys]

    def _get_many(self, keys: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
        batches = [keys[start : start + _BATCH_GET_LIMIT] for start in range(0, len(keys), _BATCH_GET_LIMIT)]
        for items in in_parallel(self._get_batch, batches):
            yield from items

    def _get_batch(self, keys: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        request: Any = {self._table_name: {"Keys": list(keys), "ConsistentRead": True}}
        while request:
            answer = self._dynamodb.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(self._table_name, [])
            request = answer.get("UnprocessedKeys")
        return items

    def _put(
        self,
        item: dict[str, Any],
        *,
        condition: str = "",
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write an item if the condition holds, if there is one, and return whether it was written."""
        extra: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        extra |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values} if names else {}
        try:
            self._dynamodb.put_item(TableName=self._table_name, Item=item, **extra)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _add_new(self, items: Sequence[dict[str, Any]]) -> int:
        """Write the items that do not exist yet, and return their number.

        They are written in one transaction if none exists, else one by one.
        """
        puts = [{"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": NEW}} for item in items]
        if self._write_together(puts):
            return len(items)
        return sum(self._put(item, condition=NEW) for item in items)

    def _write_together(self, writes: list[dict[str, Any]]) -> bool:
        """Write all items in one transaction. Return False if they have to be written one by one."""
        try:
            return not writes or self._write_all(writes)
        except self._dynamodb.exceptions.TransactionCanceledException:
            # For example, a throttled item. The client retries single writes, and slows down.
            return False

    def _write_all(self, writes: list[dict[str, Any]]) -> bool:
        """Write all items in one transaction if all conditions hold. Return whether they did."""
        for last_try in (False, False, False, True):
            try:
                self._dynamodb.transact_write_items(TransactItems=writes)
            except self._dynamodb.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response["CancellationReasons"]}
                if "ConditionalCheckFailed" in codes:
                    return False
                # A conflict with a concurrent transaction does not mean that a condition is false,
                # so retry it.
                if last_try or "TransactionConflict" not in codes:
                    raise
            else:
                return True
        raise AssertionError("unreachable")
