"""The fast path of TransactWriteItems, and the idempotency tokens of committed transactions."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from embedded.ministack.dynamodb.ministack_module import check_names, dynamodb
from embedded.ministack.dynamodb.plain_requests.changes import Change, plan_check, plan_delete, plan_put, plan_update
from embedded.ministack.dynamodb.plain_requests.values import UnusualRequestError, check_fields
from embedded.ministack.dynamodb.rows import Item

_FIELDS = frozenset({"TransactItems", "ClientRequestToken"})
_MAX_WRITES = 100
_MAX_TOKEN = 36
"""Longest token, in characters."""
_MAX_BYTES = 600 << 10
"""Largest request that is certainly below the limit of 4 MB, which ministack compares with escaped JSON."""
_DIGEST_BYTES = 16
_AUTOMATIC_TOKEN = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

Answer = bytes | tuple[int, dict[str, str], bytes]


class _Digest:
    """The hash of a transaction without its token. It compares as equal to the transaction itself."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return self.value == (other if isinstance(other, _Digest) else _digest(other)).value

    def __hash__(self) -> int:
        return hash(self.value)


class _CommittedTransaction:
    """A committed transaction, as ministack reads it, without the items: these take ten times as much memory."""

    __slots__ = ("_completed_at", "_signature", "_sizes")

    def __init__(self, signature: _Digest, sizes: Any, completed_at: float) -> None:
        self._signature, self._sizes, self._completed_at = signature, sizes or None, completed_at

    def __getitem__(self, name: str) -> Any:
        # The answer of a repeated transaction has only the consumed capacity, which follows from the sizes.
        return {} if name == "response" else getattr(self, f"_{name}")

    def get(self, name: str, _default: Any = None) -> Any:
        return self[name]


def transact_write_items(request: Item, body: bytes) -> Answer:
    """Make all writes of a transaction or none, and return its answer.

    Args:
        body: The text of the request.

    Raises:
        UnusualRequestError: The request is not plain. Nothing is written.
    """
    check_fields(request, _FIELDS)
    members, token = request.get("TransactItems"), request.get("ClientRequestToken")
    if type(members) is not list or not 0 < len(members) <= _MAX_WRITES or len(body) > _MAX_BYTES:
        raise UnusualRequestError
    if token is not None and (type(token) is not str or not 0 < len(token) <= _MAX_TOKEN):
        raise UnusualRequestError
    signature = _signature(token, members, body) if token else None
    made = dynamodb()._txn_token_lookup(token) if token else None
    if made is not None:
        if made.get("signature") == signature:
            return b"{}"
        raise UnusualRequestError
    changes = [_plan(member) for member in members]
    if len({(change.request["TableName"], change.place) for change in changes}) < len(changes):
        raise UnusualRequestError
    refused = {number: _returned(change) for number, change in enumerate(changes) if change.is_refused}
    if refused:
        answer: Answer = dynamodb()._transact_cancel_response(len(members), refused, {})
        return answer
    for change in changes:
        change.make()
    if token:
        dynamodb()._txn_token_store(token, {"signature": signature, "response": {}, "sizes": {}})
    return b"{}"


def _plan(member: Any) -> Change:
    if type(member) is not dict or len(member) != 1:
        raise UnusualRequestError
    [(kind, request)] = member.items()
    if kind == "Put":
        return plan_put(request)
    if kind == "Update":
        return plan_update(request, in_transaction=True)
    if kind == "Delete":
        return plan_delete(request)
    if kind == "ConditionCheck":
        return plan_check(request)
    raise UnusualRequestError


def _returned(change: Change) -> Item | None:
    return change.old if change.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else None


def install_token_digests() -> None:
    """Keep the hash of each transaction that has a token, instead of all its items, for ten minutes."""
    check_names("_txn_token_store", "_txn_token_lookup", "_txn_idempotency")
    store = dynamodb()._txn_token_store

    def store_digest(token: str, entry: Item) -> None:
        store(token, entry)
        signature = entry["signature"]
        if not isinstance(signature, _Digest):
            signature = _digest(signature)
        dynamodb()._txn_idempotency[token] = _CommittedTransaction(signature, entry["sizes"], entry["completed_at"])

    dynamodb()._txn_token_store = store_digest


def _signature(token: str, members: Any, body: bytes) -> _Digest:
    # botocore repeats its own tokens only with the same text, which is ten times as fast to hash.
    return _hash(body) if _AUTOMATIC_TOKEN.fullmatch(token) else _digest({"TransactItems": members})


def _digest(request: Any) -> _Digest:
    return _hash(json.dumps(request, sort_keys=True, separators=(",", ":")).encode())


def _hash(text: bytes) -> _Digest:
    return _Digest(hashlib.sha256(text).digest()[:_DIGEST_BYTES])
