"""Values of table items: JSON without floats and None, as boto3's resource layer takes and returns it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_SMALLEST_NUMBER = 1e-120
"""Smallest number above 0 that a table item can hold, with a margin."""


def to_attribute(value: Any) -> Any:
    """Return a JSON value as boto3's resource layer accepts it: without floats and None.

    >>> to_attribute({"fraction": 0.5, "label": None})
    {'fraction': Decimal('0.5')}
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        # DynamoDB has no number between 0 and 1e-130.
        return Decimal(str(value)) if abs(value) >= _SMALLEST_NUMBER else Decimal(0)
    if isinstance(value, Mapping):
        return {key: to_attribute(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [to_attribute(item) for item in value]
    return value


def from_attribute(value: Any) -> Any:
    """Return the JSON value of an attribute; whole numbers become integers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: from_attribute(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_attribute(item) for item in value]
    return value
