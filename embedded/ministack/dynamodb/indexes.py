"""The items of each partition of tables' indexes, with their sort keys."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

from typing import Any

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb
from embedded.ministack.dynamodb.rows import Item, Place, Table

Members = dict[Any, dict[Place, str | None]]
"""By the partition key of an index: the places of the items, and their sort keys in the index.

The sort key is None if it is not a text, and empty if the index has none."""


def install_index_sort_keys() -> None:
    """Remember the sort keys of indexes, so that queries need not read all items of a partition to sort them."""
    check_names("_index_members", "_index_item", "_INDEX_MEMBERS", "_index_key_schemas", "_index_partition")
    module = dynamodb()
    module._index_members, module._index_item = index_members, _index_item


def index_members(table: Table) -> dict[str, Members]:
    """Return the members of each index of a table by its name."""
    module = dynamodb()
    members: dict[str, Members] | None = table.get(module._INDEX_MEMBERS)
    if members is None:
        members = {name: {} for name, _hashes, _ranges in module._index_key_schemas(table)}
        table[module._INDEX_MEMBERS] = members
        for partition, rows in table["items"].items():
            for sort, item in rows.items():
                _index_item(table, partition, sort, item, add=True)
    return members


def _index_item(table: Table, partition: str, sort: str, item: Item, add: bool) -> None:
    module = dynamodb()
    members = table.get(module._INDEX_MEMBERS)
    if members is None:
        return
    for name, hashes, ranges in module._index_key_schemas(table):
        if name not in members:  # an index that was added: all are read again
            table.pop(module._INDEX_MEMBERS, None)
            return
        value = module._index_partition(item, hashes, ranges)
        if value is None:
            continue
        places = members[name].setdefault(value, {})
        if add:
            places[partition, sort] = _sort_key(item, ranges)
        else:
            places.pop((partition, sort), None)
        if not places:
            del members[name][value]


def _sort_key(item: Item, ranges: list[str]) -> str | None:
    if not ranges:
        return ""
    text: str | None = item[ranges[0]].get("S") if len(ranges) == 1 else None
    return text
