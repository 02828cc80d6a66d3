"""Answers of queries of DynamoDB's indexes without the newest writes."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import copy
import threading
import time
from typing import Any

from embedded.faults import DelayedListing, Faults

Item = dict[str, Any]


class RecentWrites:
    """The items of tables as they were before their newest writes, while faults need them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._writes: dict[tuple[str, str], list[tuple[float, Item | None]]] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """Record the writes of all tables."""
        from ministack.services import dynamodb

        emit = dynamodb._emit_stream_event

        def record(table: str, event: str, old: Item | None, new: Item | None, *rest: Any, **named: Any) -> Any:
            if self._faults.scheduled(DelayedListing):
                key = self._key(table, new or old or {})
                with self._lock:
                    writes = self._writes.setdefault((table, key), [])
                    writes.append((time.time(), copy.deepcopy(old)))
            return emit(table, event, old, new, *rest, **named)

        dynamodb._emit_stream_event = record

    def before(self, table: str, item: Item, moment: float) -> Item | None:
        """Return an item as it was at a moment: None if it did not exist."""
        with self._lock:
            writes = self._writes.get((table, self._key(table, item)), ())
            return next((old or None for at, old in writes if at > moment), item)

    def without_new(self, answer: dict[str, Any], request: dict[str, Any], moment: float) -> dict[str, Any]:
        """Return the answer of a query of an index, with its items as they were at a moment."""
        items = []
        for item in answer.get("Items") or []:
            found = self.before(str(request["TableName"]).rpartition("/")[2], item, moment)
            if found is not None:
                is_projected = "ProjectionExpression" in request or "AttributesToGet" in request
                items.append({name: value for name, value in found.items() if name in item or not is_projected})
        hidden = len(answer.get("Items") or []) - len(items)
        return {**answer, "Items": items, "Count": answer["Count"] - hidden}

    @staticmethod
    def _key(table: str, item: Item) -> str:
        from ministack.services import dynamodb

        schema = (dynamodb._tables.get(table) or {}).get("KeySchema") or []
        return str([item.get(part["AttributeName"]) for part in schema])
