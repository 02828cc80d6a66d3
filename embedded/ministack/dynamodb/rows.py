"""The items of tables, kept as JSON texts: a sixth of the memory of dictionaries."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb

Item = dict[str, Any]
Table = dict[str, Any]
Place = tuple[str, str]
"""The partition key and the sort key of an item."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_DECODER: Any = json.JSONDecoder()
_NONE = object()
_ITEM_BYTES = 200
"""Size of each item in ministack's TableSizeBytes, in bytes."""


def pack(value: Any) -> bytes:
    """Return the JSON of an item in UTF-8.

    Raises:
        UnicodeEncodeError: A text has half of a surrogate pair.
    """
    return _ENCODER.encode(value).encode()


def unpack(packed: bytes) -> Any:
    """Return a new copy of an item."""
    return _DECODER.scan_once(packed.decode(), 0)[0]


class Rows(dict[str, Any]):
    """The items of one partition by sort key, of which readers get copies."""

    __slots__ = ()

    def packed(self, key: str) -> bytes | None:
        """Return the JSON of an item; None if there is none."""
        return super().get(key)

    def packed_items(self) -> list[tuple[str, bytes]]:
        """Return the sort keys and the JSON of all items."""
        return list(super().items())

    def __getitem__(self, key: str) -> Item:
        item: Item = unpack(super().__getitem__(key))
        return item

    def __setitem__(self, key: str, item: Item | bytes) -> None:
        super().__setitem__(key, item if isinstance(item, bytes) else pack(item))

    def __iter__(self) -> Iterator[str]:
        # With a method of its own, `dict(rows)` asks for each item instead of copying the texts.
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        packed = super().get(key)
        return default if packed is None else unpack(packed)

    def pop(self, key: str, default: Any = _NONE) -> Any:
        packed = super().pop(key) if default is _NONE else super().pop(key, None)
        return default if packed is None else unpack(packed)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **named: Any) -> None:
        for key, item in dict(*others, **named).items():
            self[key] = item

    def values(self) -> list[Item]:  # type: ignore[override]
        return [unpack(packed) for packed in list(super().values())]

    def items(self) -> list[tuple[str, Item]]:  # type: ignore[override]
        return [(key, unpack(packed)) for key, packed in self.packed_items()]

    def __eq__(self, other: object) -> bool:
        return dict(self) == (dict(other) if isinstance(other, Rows) else other)

    __hash__ = None

    def __deepcopy__(self, _memo: Any) -> Rows:
        copied = Rows()
        dict.update(copied, self.packed_items())
        return copied

    def __reduce__(self) -> Any:
        return Rows, (), None, None, iter(self.packed_items())


def packed_item(table: Table, place: Place) -> bytes | None:
    """Return the JSON of a table's item; None if there is none."""
    partition, sort = place
    rows = table["items"].get(partition)
    if rows is None:
        return None
    if isinstance(rows, Rows):
        return rows.packed(sort)
    item = rows.get(sort)
    return None if item is None else pack(item)


def put_item(table: Table, place: Place, item: Item, packed: bytes, old: Item | None) -> None:
    """Store an item with its JSON in place of `old`, and keep the count of items and the indexes current."""
    partition, sort = place
    if old is None:
        table["ItemCount"] = table.get("ItemCount", 0) + 1
        table["TableSizeBytes"] = table["ItemCount"] * _ITEM_BYTES
    before = old or {}
    is_moved = any(before.get(name) != item.get(name) for name in index_key_names(table))
    if is_moved and old is not None:
        dynamodb()._index_item(table, partition, sort, old, add=False)
    rows = table["items"].get(partition)
    if not isinstance(rows, Rows):
        others = rows or {}
        rows = Rows()
        rows.update(others)
        table["items"][partition] = rows
    rows[sort] = packed
    if is_moved:
        dynamodb()._index_item(table, partition, sort, item, add=True)


def index_key_names(table: Table) -> list[str]:
    """Return the names of the attributes that are keys of a table's indexes."""
    return [
        part["AttributeName"]
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        for index in table.get(kind) or ()
        for part in index["KeySchema"]
    ]


def install_packed_rows() -> None:
    """Keep what ministack stores in tables as JSON texts."""
    check_names("_set_item", "_index_item")

    def set_item(table: Table, partition: str, sort: str, item: Item) -> Item | None:
        old: Item | None = table["items"].get(partition, {}).get(sort)
        put_item(table, (partition, sort), item, pack(item), old)
        return old

    dynamodb()._set_item = set_item
