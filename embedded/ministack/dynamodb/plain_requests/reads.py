"""The short way of GetItem, BatchGetItem and Query: answers made of the JSON that is stored."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.plain_requests.expressions import expressions
from embedded.ministack.dynamodb.plain_requests.values import UnusualRequestError, check_fields, key_values, table_of
from embedded.ministack.dynamodb.rows import Item, Rows, Table, pack, packed_item, unpack
from embedded.ministack.http.limits import BATCH_GET_BYTES

_GET_FIELDS = frozenset({"TableName", "Key", "ConsistentRead"})
_BATCH_FIELDS = frozenset({"Keys", "ConsistentRead"})
_QUERY_FIELDS = frozenset(
    {
        "TableName", "KeyConditionExpression", "ExpressionAttributeValues", "ExpressionAttributeNames",
        "ConsistentRead", "Limit", "ScanIndexForward", "ExclusiveStartKey",
    }
)  # fmt: skip
_BATCH_KEYS = 100
"""Largest number of keys of a table in BatchGetItem."""
_PAGE_BYTES = 1 << 20
"""Largest size of the items of a page, in bytes. The JSON of an item is at least as long as its size."""

_NAME, _VALUE = r"(#?\w+)", r"(:\w+)"
_PARTITION = rf"{_NAME} = {_VALUE}"
_KEY_CONDITION = re.compile(
    rf"{_PARTITION}(?: AND (?:begins_with\({_NAME}, {_VALUE}\)|{_NAME} BETWEEN {_VALUE} AND {_VALUE}"
    rf"|{_NAME} (=|<|<=|>|>=) {_VALUE}))?",
    re.ASCII,
)
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": str.__eq__, "<": str.__lt__, "<=": str.__le__, ">": str.__gt__, ">=": str.__ge__,
}  # fmt: skip


def get_item(request: Item) -> bytes:
    """Return the answer of a GetItem.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    check_fields(request, _GET_FIELDS)
    table = table_of(request.get("TableName"))
    found = packed_item(table, key_values(table, request.get("Key")))
    return b"{}" if found is None else b'{"Item":' + found + b"}"


def batch_get_item(request: Item) -> bytes:
    """Return the answer of a BatchGetItem.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    wanted = request.get("RequestItems")
    if len(request) != 1 or type(wanted) is not dict or not wanted:
        raise UnusualRequestError
    answers, size = [], 0
    for name, fields in wanted.items():
        check_fields(fields, _BATCH_FIELDS)
        keys = fields.get("Keys")
        if type(keys) is not list or not 0 < len(keys) <= _BATCH_KEYS:
            raise UnusualRequestError
        table = table_of(name)
        places = [key_values(table, key) for key in keys]
        if len(set(places)) != len(places):
            raise UnusualRequestError
        found = [packed for place in places if (packed := packed_item(table, place)) is not None]
        size += sum(map(len, found))
        answers.append(json.dumps(name).encode() + b":[" + b",".join(found) + b"]")
    if size > BATCH_GET_BYTES:
        raise UnusualRequestError
    return b'{"Responses":{' + b",".join(answers) + b'},"UnprocessedKeys":{}}'


def query(request: Item) -> bytes:
    """Return the answer of a Query of a table's own keys.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    check_fields(request, _QUERY_FIELDS)
    table = table_of(request.get("TableName"))
    partition, is_wanted = _key_condition(table, request)
    is_forward, limit = request.get("ScanIndexForward", True), request.get("Limit")
    if type(is_forward) is not bool or (limit is not None and (type(limit) is not int or limit < 1)):
        raise UnusualRequestError
    rows = table["items"].get(partition) or {}
    sorts = sorted(filter(is_wanted, list(dict.keys(rows))), reverse=not is_forward)
    if request.get("ExclusiveStartKey") is not None:
        start = key_values(table, request["ExclusiveStartKey"])
        if start[0] != partition or not is_wanted(start[1]):
            raise UnusualRequestError
        is_after = start[1].__lt__ if is_forward else start[1].__gt__
        sorts = list(filter(is_after, sorts))
    page, is_complete = _page(rows, sorts, limit)
    count = str(len(page)).encode()
    answer = b'{"Items":[' + b",".join(page) + b'],"Count":' + count + b',"ScannedCount":' + count
    if not is_complete:
        last = {table["pk_name"]: {"S": partition}, table["sk_name"]: {"S": sorts[len(page) - 1]}}
        answer += b',"LastEvaluatedKey":' + pack(last)
    return answer + b"}"


def _key_condition(table: Table, request: Item) -> tuple[str, Callable[[str], bool]]:
    """Return the partition key of a query, and whether it finds a sort key."""
    text = request.get("KeyConditionExpression")
    found = expressions(request, ("KeyConditionExpression",))
    values, names = found.values, found.names
    match = _KEY_CONDITION.fullmatch(_without_parentheses(text)) if type(text) is str else None
    if match is None or not table["sk_name"]:
        raise UnusualRequestError
    key, partition, prefixed, prefix, ranged, low, high, compared, operator, bound = match.groups()
    named = [names.get(name, name) for name in (key, prefixed or ranged or compared) if name]
    if named != [table["pk_name"], table["sk_name"]][: len(named)]:
        raise UnusualRequestError
    texts = {name: _operand(value) for name, value in values.items()}
    wanted, _sort = key_values(table, {named[0]: values[partition], table["sk_name"]: {"S": "any"}})
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


def _operand(value: Any) -> str:
    text = value.get("S")
    if not text:
        raise UnusualRequestError
    return str(text)


def _page(rows: Any, sorts: list[str], limit: int | None) -> tuple[list[bytes], bool]:
    """Return the JSON of the items of the first page, and whether it is the last page, too."""
    taken = sorts if limit is None else sorts[:limit]
    is_packed = isinstance(rows, Rows)
    packed: list[bytes] = [rows.packed(sort) if is_packed else pack(rows[sort]) for sort in taken]
    if sum(map(len, packed)) < _PAGE_BYTES:
        return packed, limit is None or len(packed) < limit
    size = 0
    for count, each in enumerate(packed):
        size += dynamodb()._item_size_bytes(unpack(each))
        if size > _PAGE_BYTES and count:
            return packed[:count], False
        if size >= _PAGE_BYTES:
            return packed[: count + 1], False
    return packed, limit is None or len(packed) < limit
