"""Checks of items, keys and values: all but the plain ones raise UnusualRequestError."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from collections.abc import Iterable
from typing import Any

from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.rows import Item, Place, Table, index_key_names

MAX_ITEM_BYTES = 400 << 10
"""Largest item, in bytes. The JSON of an item is at least as long as its size."""
_DEPTH = 32
"""Deepest level of an attribute value."""
_PARTITION_KEY_BYTES = 2048
_SORT_KEY_BYTES = 1024
NO_SORT_KEY = "__no_sort__"
"""Sort key of the items of tables without one, in ministack's storage."""

Numbers = list[tuple[dict[str, Any], str]]


class UnusualRequestError(Exception):
    """A request is not plain: ministack answers it."""


def check_values(values: Iterable[Any], level: int = 1) -> Numbers:
    """Check values, and return those that are numbers in another than their shortest form, with this form.

    Raises:
        UnusualRequestError: DynamoDB refuses a value, or it is of a seldom used type.
    """
    numbers: Numbers = []
    shortest_form = dynamodb()._ddb_canonicalize_number
    for value in values:
        if type(value) is not dict or len(value) != 1:
            raise UnusualRequestError
        for kind, content in value.items():
            if kind == "S" and type(content) is str:
                continue
            if kind == "N":
                shortest = shortest_form(content)
                if shortest is None:
                    raise UnusualRequestError
                if shortest != content:
                    numbers.append((value, shortest))
            elif kind == "M" and type(content) is dict and level < _DEPTH:
                numbers += check_values(content.values(), level + 1)
            elif kind == "L" and type(content) is list and level < _DEPTH:
                numbers += check_values(content, level + 1)
            elif not _is_plain_leaf(kind, content):
                raise UnusualRequestError
    return numbers


def _is_plain_leaf(kind: str, content: Any) -> bool:
    if kind == "SS":
        is_texts = type(content) is list and all(type(each) is str for each in content)
        return is_texts and 0 < len(content) == len(set(content))
    return (
        (kind == "BOOL" and type(content) is bool)
        or (kind == "NULL" and content is True)
        or (kind == "B" and type(content) is str)
    )


def table_of(name: Any) -> Table:
    """Return the table that a request names, whose keys are texts.

    Raises:
        UnusualRequestError: There is none, it is named by its ARN, or it has other keys or indexes of vectors.
    """
    module = dynamodb()
    table: Table | None = module._tables.get(name) if type(name) is str else None
    if not table or name.startswith("arn:") or table.get("VectorIndexes"):
        raise UnusualRequestError
    sort_name = table["sk_name"]
    if module._get_attr_type(table, table["pk_name"]) != "S" or (
        sort_name and module._get_attr_type(table, sort_name) != "S"
    ):
        raise UnusualRequestError
    return table


def key_values(table: Table, key: Any, *, is_item: bool = False) -> Place:
    """Return the partition key and the sort key of a key, or of an item.

    Raises:
        UnusualRequestError: The key does not fit the table.
    """
    sort_name = table["sk_name"]
    if type(key) is not dict or (not is_item and len(key) != (2 if sort_name else 1)):
        raise UnusualRequestError
    partition = _key_text(key.get(table["pk_name"]), _PARTITION_KEY_BYTES)
    return partition, _key_text(key.get(sort_name), _SORT_KEY_BYTES) if sort_name else NO_SORT_KEY


def key_texts(values: Iterable[Any]) -> list[str]:
    """Return the texts of values that are compared with keys.

    Raises:
        UnusualRequestError: One is not a text, or is too long for a key.
    """
    return [_key_text(value, _SORT_KEY_BYTES) for value in values]


def _key_text(value: Any, limit: int) -> str:
    text = value.get("S") if type(value) is dict and len(value) == 1 else None
    if type(text) is not str or not text or (4 * len(text) > limit and len(text.encode(errors="replace")) > limit):
        raise UnusualRequestError
    return text


def check_item(table: Table, item: Any) -> tuple[Numbers, Place]:
    """Check an item, and return its numbers that have a shorter form, and its place.

    Raises:
        UnusualRequestError: DynamoDB may refuse the item.
    """
    place = key_values(table, item, is_item=True)
    if "" in item:
        raise UnusualRequestError
    numbers = check_values(item.values())
    check_index_keys(table, item)
    return numbers, place


def check_index_keys(table: Table, item: Item) -> None:
    """Check that the keys of indexes have their types.

    Raises:
        UnusualRequestError: One has another type, or is empty.
    """
    for name in index_key_names(table):
        if name in item and not item[name].get(dynamodb()._get_attr_type(table, name)):
            raise UnusualRequestError


def check_size(packed: bytes) -> None:
    """Check that the item with this JSON is not too large.

    Raises:
        UnusualRequestError: It may be.
    """
    if len(packed) > MAX_ITEM_BYTES:
        raise UnusualRequestError


def use_shortest(numbers: Numbers) -> None:
    """Write numbers in their shortest form, as DynamoDB stores them."""
    for value, shortest in numbers:
        value["N"] = shortest


def check_fields(request: Any, allowed: frozenset[str]) -> None:
    """Check that a request has only some fields.

    Raises:
        UnusualRequestError: It has another one.
    """
    if type(request) is not dict or not allowed.issuperset(request):
        raise UnusualRequestError
