"""Plain changes of items. All checks come first, so that a transaction can check all changes before the first."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.plain_requests.expressions import Expressions, Paths, expressions
from embedded.ministack.dynamodb.plain_requests.values import (
    Numbers,
    UnusualRequestError,
    check_fields,
    check_index_keys,
    check_item,
    check_size,
    check_values,
    key_values,
    table_of,
    use_shortest,
)
from embedded.ministack.dynamodb.rows import Item, Place, Table, pack, packed_item, put_item, unpack

_FIELDS = frozenset(
    {
        "TableName", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
        "ReturnValuesOnConditionCheckFailure",
    }
)  # fmt: skip
_CONDITION = ("ConditionExpression",)
_CONDITION_AND_UPDATE = (*_CONDITION, "UpdateExpression")
_PUT_FIELDS = _FIELDS | {"Item"}
_KEY_FIELDS = _FIELDS | {"Key"}
_UPDATE_FIELDS = _KEY_FIELDS | {"UpdateExpression"}


@dataclass
class Change:
    """What a write does to an item if its condition holds. The new item is checked in either case."""

    request: Item
    table: Table
    place: Place
    before: bytes | None
    old: Item | None
    is_refused: bool
    """Whether the condition is false."""
    new: Item | None = None
    """Item afterwards; None if the write deletes it."""
    after: bytes | None = None
    paths: Paths = field(default_factory=set)
    """Paths of the attributes that an update changes."""
    is_check: bool = False
    """Whether the write only checks the condition."""

    def make(self) -> None:
        """Store or delete the item, and add a record to the table's stream."""
        if self.is_check:
            return
        name = self.request["TableName"]
        images = (self.before, self.after)
        if self.new is not None and self.after is not None:
            put_item(self.table, self.place, self.new, self.after, self.old)
            dynamodb()._emit_stream_event(name, "MODIFY" if self.old else "INSERT", self.old, self.new, images=images)
        elif self.old is not None:
            dynamodb()._remove_item(self.table, *self.place)
            dynamodb()._emit_stream_event(name, "REMOVE", self.old, None, images=images)


def plan_put(request: Item) -> Change:
    """Return what a Put does.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    check_fields(request, _PUT_FIELDS)
    table, item = table_of(request.get("TableName")), request.get("Item")
    found = expressions(request, _CONDITION)
    numbers, place = check_item(table, item)
    change = _change(request, table, place, found)
    _set_new(change, item, numbers)
    return change


def plan_update(request: Item, *, in_transaction: bool = False) -> Change:
    """Return what an Update does.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    check_fields(request, _UPDATE_FIELDS if in_transaction else _UPDATE_FIELDS | {"ReturnValues"})
    table = table_of(request.get("TableName"))
    if not request.get("UpdateExpression"):
        raise UnusualRequestError
    found = expressions(request, _CONDITION_AND_UPDATE)
    change = _change(request, table, key_values(table, request.get("Key")), found)
    item = unpack(change.before) if change.before is not None else dict(request["Key"])
    change.paths = found.update(table, item, request["UpdateExpression"])
    numbers = check_values(item.values())
    check_index_keys(table, item)
    # ministack stores numbers of transactions as they are written.
    _set_new(change, item, [] if in_transaction else numbers)
    return change


def plan_delete(request: Item) -> Change:
    """Return what a Delete of a transaction does.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    return _with_key(request)


def plan_check(request: Item) -> Change:
    """Return whether a ConditionCheck holds.

    Raises:
        UnusualRequestError: The request is not plain.
    """
    if "ConditionExpression" not in request:
        raise UnusualRequestError
    change = _with_key(request)
    change.is_check = True
    return change


def _with_key(request: Item) -> Change:
    check_fields(request, _KEY_FIELDS)
    table = table_of(request.get("TableName"))
    found = expressions(request, _CONDITION)
    return _change(request, table, key_values(table, request.get("Key")), found)


def _change(request: Item, table: Table, place: Place, found: Expressions) -> Change:
    before = packed_item(table, place)
    old = None if before is None else unpack(before)
    return Change(request, table, place, before, old, not found.hold(old))


def _set_new(change: Change, item: Any, numbers: Numbers) -> None:
    use_shortest(numbers)
    try:
        change.after = pack(item)
    except UnicodeEncodeError as error:
        raise UnusualRequestError from error
    check_size(change.after)
    change.new = item
