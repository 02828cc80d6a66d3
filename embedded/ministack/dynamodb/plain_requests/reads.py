"""The fast path of GetItem and BatchGetItem, which copies the stored JSON into the answer."""

# This package exists to reach ministack's private names.

from __future__ import annotations

import json

from embedded.ministack.dynamodb.plain_requests.values import UnusualRequestError, check_fields, key_values, table_of
from embedded.ministack.dynamodb.rows import Item, packed_item
from embedded.ministack.http.limits import BATCH_GET_BYTES

_GET_FIELDS = frozenset({"TableName", "Key", "ConsistentRead"})
_BATCH_FIELDS = frozenset({"Keys", "ConsistentRead"})
_BATCH_KEYS = 100
"""Largest number of keys of a table in BatchGetItem."""


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
