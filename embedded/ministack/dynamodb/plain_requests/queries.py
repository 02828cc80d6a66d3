"""The fast path of Query, which copies the stored JSON into the answer."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from embedded.ministack.dynamodb.indexes import index_members
from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.plain_requests.expressions import Expressions, expressions
from embedded.ministack.dynamodb.plain_requests.values import (
    NO_SORT_KEY,
    UnusualRequestError,
    check_fields,
    key_texts,
    table_of,
)
from embedded.ministack.dynamodb.rows import Item, Table, pack, packed_item, unpack

_EXPRESSIONS = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")
_FIELDS = frozenset(
    {
        "TableName", "IndexName", *_EXPRESSIONS, "ExpressionAttributeValues", "ExpressionAttributeNames",
        "ConsistentRead", "Limit", "ScanIndexForward", "ExclusiveStartKey",
    }
)  # fmt: skip
_PAGE_BYTES = 1 << 20
"""Largest size of the items of a page, in bytes. The JSON of an item is at least as long as its size."""

_NAME, _VALUE = r"(#?\w+)", r"(:\w+)"
_KEY_CONDITION = re.compile(
    rf"{_NAME} = {_VALUE}(?: AND (?:begins_with\({_NAME}, {_VALUE}\)|{_NAME} BETWEEN {_VALUE} AND {_VALUE}"
    rf"|{_NAME} (=|<|<=|>|>=) {_VALUE}))?",
    re.ASCII,
)
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": str.__eq__, "<": str.__lt__, "<=": str.__le__, ">": str.__gt__, ">=": str.__ge__,
}  # fmt: skip

Entry = tuple[str, str, str]
"""The sort key of a found item, then the partition key and the sort key of its table: the order of answers."""


@dataclass(frozen=True)
class _Keys:
    """The keys by which a query finds items: those of the table or of an index."""

    table: Table
    index: str | None
    partition_name: str
    sort_name: str

    @property
    def names(self) -> list[str]:
        """The names of all attributes of a starting key, each once."""
        names = (self.table["pk_name"], self.table["sk_name"], self.partition_name, self.sort_name)
        return [name for name in dict.fromkeys(names) if name]

    def entries(self, partition: str) -> Iterable[Entry]:
        """Return the entries of all items of a partition."""
        if self.index is None:
            return [(sort, partition, sort) for sort in list(self.table["items"].get(partition) or ())]
        members = index_members(self.table).get(self.index, {}).get(partition, {})
        found = [(text, *place) for place, text in list(members.items()) if text is not None]
        if len(found) < len(members):
            raise UnusualRequestError
        return found


def query(request: Item) -> bytes:
    """Return the answer of a Query.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    check_fields(request, _FIELDS)
    keys = _keys(table_of(request.get("TableName")), request)
    found = expressions(request, _EXPRESSIONS)
    partition, is_wanted = _key_condition(keys, request, found)
    is_forward, limit = request.get("ScanIndexForward", True), request.get("Limit")
    if type(is_forward) is not bool or (limit is not None and (type(limit) is not int or limit < 1)):
        raise UnusualRequestError
    entries = [entry for entry in keys.entries(partition) if is_wanted(entry[0])]
    entries.sort(reverse=not is_forward)
    if request.get("ExclusiveStartKey") is not None:
        start = _start(keys, request["ExclusiveStartKey"], partition)
        if not is_wanted(start[0]):
            raise UnusualRequestError
        entries = [entry for entry in entries if (entry > start if is_forward else entry < start)]
    page, is_complete = _page(keys.table, entries, limit)
    items = _filtered(page, request, found)
    answer = b'{"Items":[' + b",".join(items) + b'],"Count":%d,"ScannedCount":%d' % (len(items), len(page))
    if not is_complete:
        last = unpack(page[-1])
        answer += b',"LastEvaluatedKey":' + pack({name: last[name] for name in keys.names})
    return answer + b"}"


def _keys(table: Table, request: Item) -> _Keys:
    name = request.get("IndexName")
    if name is None:
        if not table["sk_name"]:
            raise UnusualRequestError
        return _Keys(table, None, table["pk_name"], table["sk_name"])
    module = dynamodb()
    index = next((each for each in table.get("GlobalSecondaryIndexes") or () if each.get("IndexName") == name), None)
    if index is None or request.get("ConsistentRead"):
        raise UnusualRequestError
    hashes, ranges = module._index_key_lists(index)
    is_all = (index.get("Projection") or {}).get("ProjectionType", "ALL") == "ALL"
    if len(hashes) != 1 or len(ranges) != 1 or not is_all:
        raise UnusualRequestError
    if any(module._get_attr_type(table, key) != "S" for key in hashes + ranges):
        raise UnusualRequestError
    return _Keys(table, name, hashes[0], ranges[0])


def _key_condition(keys: _Keys, request: Item, found: Expressions) -> tuple[str, Callable[[str], bool]]:
    """Return the partition key of a query, and whether it finds a sort key."""
    text = request.get("KeyConditionExpression")
    match = _KEY_CONDITION.fullmatch(_without_parentheses(text)) if type(text) is str else None
    if match is None:
        raise UnusualRequestError
    key, partition, prefixed, prefix, ranged, low, high, compared, operator, bound = match.groups()
    named = [found.names.get(name, name) for name in (key, prefixed or ranged or compared) if name]
    if named != [keys.partition_name, keys.sort_name][: len(named)]:
        raise UnusualRequestError
    used = [name for name in (partition, prefix, low, high, bound) if name]
    texts = dict(zip(used, key_texts([found.values.get(name) for name in used]), strict=True))
    wanted = texts[partition]
    if prefix:
        return wanted, lambda sort: sort.startswith(texts[prefix])
    if low:
        first, last = texts[low], texts[high]
        if first > last:
            raise UnusualRequestError
        return wanted, lambda sort: first <= sort <= last
    if operator:
        compare, other = _COMPARISONS[operator], texts[bound]
        return wanted, lambda sort: compare(sort, other)
    return wanted, lambda _sort: True


def _without_parentheses(text: str) -> str:
    # boto3 puts them around two conditions.
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _start(keys: _Keys, start: Any, partition: str) -> Entry:
    """Return the entry after which a page begins."""
    if type(start) is not dict or len(start) != len(keys.names):
        raise UnusualRequestError
    values = dict(zip(keys.names, key_texts([start.get(name) for name in keys.names]), strict=True))
    if values[keys.partition_name] != partition:
        raise UnusualRequestError
    table = keys.table
    return values[keys.sort_name], values[table["pk_name"]], values.get(table["sk_name"], NO_SORT_KEY)


def _page(table: Table, entries: list[Entry], limit: int | None) -> tuple[list[bytes], bool]:
    """Return the JSON of the items of the first page, and whether it is the last page, too."""
    places = (place for _sort, *place in (entries if limit is None else entries[:limit]))
    page = [packed for place in places if (packed := packed_item(table, (place[0], place[1]))) is not None]
    is_last = limit is None or len(page) < limit
    if sum(map(len, page)) < _PAGE_BYTES:
        return page, is_last
    size = 0
    for count, packed in enumerate(page):
        size += dynamodb()._item_size_bytes(unpack(packed))
        if size > _PAGE_BYTES and count:
            return page[:count], False
        if size >= _PAGE_BYTES:
            return page[: count + 1], False
    return page, is_last


def _filtered(page: list[bytes], request: Item, found: Expressions) -> list[bytes]:
    """Return the JSON of the items that pass the filter, with the projected attributes."""
    if "FilterExpression" in request:
        page = [packed for packed in page if found.hold(unpack(packed))]
    if "ProjectionExpression" not in request:
        return page
    module, text = dynamodb(), request["ProjectionExpression"]
    try:
        if module._projection_overlap_response(request):
            raise UnusualRequestError
        return [pack(module._project_item(unpack(packed), text, found.names)) for packed in page]
    except ValueError as error:
        raise UnusualRequestError from error
