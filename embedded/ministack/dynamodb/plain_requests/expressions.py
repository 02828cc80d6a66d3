"""Condition and update expressions. Each text is checked once."""

# This package exists to reach ministack's private names.
# ruff: noqa: SLF001

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from embedded.ministack.dynamodb.ministack_module import dynamodb
from embedded.ministack.dynamodb.plain_requests.conditions import Condition, compile_condition, value_bounds
from embedded.ministack.dynamodb.plain_requests.values import MAX_ITEM_BYTES, UnusualRequestError, check_values
from embedded.ministack.dynamodb.rows import Item, Table

_CACHED = 10_000
_CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")
"""Clauses of an update, in the order in which they are applied."""
_CONDITIONS = frozenset({"ConditionExpression", "FilterExpression", "KeyConditionExpression"})
_OPERATION_BYTES = 64
"""More than what DynamoDB charges for an operator or a name of an update, besides its length."""

Tokens = list[tuple[str, str]]
Paths = set[tuple[str | int, ...]]


@dataclass(frozen=True)
class _Checked:
    """Expressions of a request that fit together."""

    condition: Condition | None
    """The condition of a write, or the filter of a query."""
    bounds: tuple[tuple[str, str], ...]
    clauses: tuple[tuple[str, Tokens], ...]


@dataclass(frozen=True, slots=True)
class Expressions:
    """The condition and the update of a request, with their values and names."""

    checked: _Checked
    values: dict[str, Any]
    names: dict[str, str]

    def hold(self, item: Item | None) -> bool:
        """Return whether the condition or the filter is true of an item; without any it is.

        Raises:
            UnusualRequestError: DynamoDB refuses the condition for this item.
        """
        if self.checked.condition is None:
            return True
        try:
            return bool(self.checked.condition(item or {}, self.values))
        except Exception as error:  # ministack meets the same error, and answers with its text
            raise UnusualRequestError from error

    def update(self, table: Table, item: Item, text: str) -> Paths:
        """Apply the update, which has this text, to an item; return the paths of the attributes that it changes.

        Raises:
            UnusualRequestError: DynamoDB refuses the update.
        """
        paths: Paths = set()
        ministack = dynamodb()
        try:
            if self._may_be_too_large(text):
                raise UnusualRequestError
            for clause, tokens in self.checked.clauses:
                if clause == "SET":
                    ministack._apply_set(item, tokens, self.values, self.names, paths)
                elif clause == "REMOVE":
                    ministack._apply_remove(item, tokens, self.names, paths)
                elif clause == "ADD":
                    ministack._apply_add(item, tokens, self.values, self.names, paths)
                else:
                    ministack._apply_delete(item, tokens, self.values, self.names, paths)
        except Exception as error:  # ministack meets the same error, and answers with its text
            raise UnusualRequestError from error
        if any(path[0] in (table["pk_name"], table["sk_name"]) for path in paths):
            raise UnusualRequestError
        return paths

    def _may_be_too_large(self, text: str) -> bool:
        """Return whether the size of the update, which DynamoDB limits, may be too large."""
        largest = max(map(dynamodb()._attribute_value_size, self.values.values()), default=0)
        longest = max((4 * len(name) for name in self.names.values()), default=0)
        # Each operand of the update takes at least two characters of its text.
        return len(text) * (_OPERATION_BYTES + largest + longest) > MAX_ITEM_BYTES


def expressions(request: Item, fields: tuple[str, ...]) -> Expressions:
    """Return the expressions of a request, which are in these fields.

    Raises:
        UnusualRequestError: DynamoDB refuses one, or it does not use a value or a name that is given.
    """
    values, names = request.get("ExpressionAttributeValues"), request.get("ExpressionAttributeNames")
    if (values is not None and (type(values) is not dict or not values)) or (
        names is not None and (type(names) is not dict or not names)
    ):
        raise UnusualRequestError
    try:
        checked = _checked(
            fields, tuple(map(request.get, fields)), tuple(values or ()), tuple(names.items()) if names else ()
        )
    except TypeError as error:  # one is a list or an object
        raise UnusualRequestError from error
    if checked is None:
        raise UnusualRequestError
    if not values:
        return Expressions(checked, {}, names or {})
    check_values(values.values())
    ministack = dynamodb()
    if any(ministack._between_bounds_error(values.get(low), values.get(high)) for low, high in checked.bounds):
        raise UnusualRequestError
    return Expressions(checked, values, names or {})


@functools.lru_cache(_CACHED)
def _checked(
    fields: tuple[str, ...], texts: tuple[Any, ...], values: tuple[str, ...], names: tuple[tuple[str, Any], ...]
) -> _Checked | None:
    """Return expressions whose texts are checked; None if DynamoDB refuses one, whatever the values are."""
    request = {field: text for field, text in zip(fields, texts, strict=True) if text is not None}
    if not all(isinstance(text, str) and text.strip() for text in request.values()):
        return None
    if not all(each.startswith(":") for each in values):
        return None
    if not all(each.startswith("#") and isinstance(name, str) for each, name in names):
        return None
    if values:
        request["ExpressionAttributeValues"] = dict.fromkeys(values)
    if names:
        request["ExpressionAttributeNames"] = dict(names)
    if dynamodb()._validate_expression_attrs(request, fields):
        return None
    texts_by_field = {field: text for field, text in request.items() if field in _CONDITIONS}
    conditions = {field: compile_condition(text, dict(names)) for field, text in texts_by_field.items()}
    clauses = _clauses(request["UpdateExpression"]) if "UpdateExpression" in request else ()
    if None in conditions.values() or clauses is None:
        return None
    bounds = tuple(pair for text in texts_by_field.values() for pair in value_bounds(text))
    return _Checked(conditions.get("ConditionExpression") or conditions.get("FilterExpression"), bounds, clauses)


def _clauses(text: str) -> tuple[tuple[str, Tokens], ...] | None:
    """Return the tokens of each clause of an update, in the order of their application; None if it is refused."""
    tokens = [token for token in dynamodb()._tokenize(text) if token[0] != "EOF"]
    names = [kind == "IDENT" and name.upper() in _CLAUSES for kind, name in tokens]
    others = [token for token, is_clause in zip(tokens, names, strict=True) if not is_clause]
    starts = [place for place, is_clause in enumerate(names) if is_clause]
    found = {
        tokens[start][1].upper(): tokens[start + 1 : end]
        for start, end in zip(starts, [*starts, len(tokens)][1:], strict=True)
    }
    if (
        starts[:1] != [0]
        or len(found) != len(starts)
        or text.split(maxsplit=1)[0].upper() not in _CLAUSES
        or dynamodb()._check_redundant_parens(tokens)
        or dynamodb()._check_reserved_keyword_usage(others)
    ):
        return None
    return tuple((clause, found[clause]) for clause in _CLAUSES if clause in found)
