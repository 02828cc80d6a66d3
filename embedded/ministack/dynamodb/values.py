"""DynamoDB's attribute values, which ministack checks and measures several times per write."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import copy
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from embedded.ministack.errors import MinistackChangedError

_CACHED = 10_000
_OF_NUMBERS = ("_number_size_bytes", "_number_error", "_ddb_canonicalize_number")
_OF_SIZES = ("_attribute_value_size", "_item_size_bytes")


def install_value_caches() -> None:
    """Check and measure each text of a number once, and measure other values without copies of them."""
    from ministack.services import dynamodb

    if missing := [name for name in _OF_NUMBERS + _OF_SIZES if not callable(getattr(dynamodb, name, None))]:
        raise MinistackChangedError(f"ministack's DynamoDB has no {missing[0]}: install the pinned version")
    for name in _OF_NUMBERS:
        setattr(dynamodb, name, _once_per_text(getattr(dynamodb, name)))
    number_size, other_size = dynamodb._number_size_bytes, dynamodb._attribute_value_size

    def value_size(value: Any) -> int:
        if not isinstance(value, dict) or len(value) != 1:
            return 0
        [(kind, content)] = value.items()
        if kind == "S" and isinstance(content, str):
            return _utf8_bytes(content)
        if kind == "N":
            return int(number_size(content))
        if kind == "M" and isinstance(content, dict):
            return 3 + sum(1 + _utf8_bytes(name) + value_size(each) for name, each in content.items())
        if kind == "L" and isinstance(content, list):
            return 3 + sum(1 + value_size(each) for each in content if isinstance(each, dict))
        return int(other_size(value))

    def item_size(item: Any) -> int:
        if not isinstance(item, dict):
            return 0
        return sum(_utf8_bytes(name) + value_size(value) for name, value in item.items())

    dynamodb._attribute_value_size, dynamodb._item_size_bytes = value_size, item_size


def install_value_copies() -> None:
    """Copy items, which are JSON, in a tenth of the time of `copy.deepcopy`."""
    from ministack.services import dynamodb

    dynamodb.copy = SimpleNamespace(deepcopy=copied)


def copied(value: Any) -> Any:
    """Return a copy of a value, with copies of all of its parts."""
    kind = type(value)
    if kind is dict:
        return {name: copied(part) for name, part in value.items()}
    if kind is list:
        return [copied(part) for part in value]
    return value if kind is str or kind is int or kind is bool or value is None else copy.deepcopy(value)


def _once_per_text(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function with its results kept for texts; other values may not be hashable."""
    of_text = functools.lru_cache(_CACHED)(function)

    def result(value: Any) -> Any:
        return of_text(value) if type(value) is str else function(value)

    return result


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
