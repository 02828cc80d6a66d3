"""Sizes of table items, as DynamoDB counts them, and its limits."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from contract.problems import InvalidInputError, Problem

MAX_ITEM_BYTES = 400 << 10
"""Largest item that DynamoDB stores, in bytes."""
MAX_TRANSACTION_BYTES = 4 << 20
"""Largest sum of the items of one transaction, in bytes."""

_CONTAINER_BYTES = 3
_NUMBER_BYTES = 21
"""Largest size of a number, in bytes: one per two of its 38 digits, and two."""


def item_size(item: Mapping[str, Any]) -> int:
    """Return the size of an item in bytes: names and values in UTF-8, with DynamoDB's overhead.

    Numbers count with the most that they can take.

    >>> item_size({"pk": "MODEL#ü", "sizes": [1, 2]})
    62
    """
    return sum(_text_size(name) + _value_size(value) for name, value in item.items())


def check_item_size(subject: str, item: Mapping[str, Any], remedy: str) -> None:
    """Check that DynamoDB stores the item.

    Raises:
        InvalidInputError: The item is too large. The message names its largest attribute.
    """
    size = item_size(item)
    if size <= MAX_ITEM_BYTES:
        return
    name, largest = max(_parts(item), key=lambda part: part[1])
    expected = f"at most {MAX_ITEM_BYTES:,} bytes, DynamoDB's limit for a record ({name} takes {largest:,} of them"
    packed = ", compressed)" if _is_packed(item, name) else ")"
    raise InvalidInputError(subject, [Problem("size of the record", f"{size:,} bytes", expected + packed, remedy)])


def _parts(item: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return each field of a record with its size; the spec's fields stand for themselves."""
    fields = {**item, **item["spec"]} if isinstance(item.get("spec"), Mapping) else dict(item)
    fields.pop("spec", None)
    return [(name, _value_size(value)) for name, value in fields.items()]


def _is_packed(item: Mapping[str, Any], name: str) -> bool:
    spec = item.get("spec")
    value = spec.get(name) if isinstance(spec, Mapping) and name in spec else item.get(name)
    return isinstance(value, bytes)


def _value_size(value: Any) -> int:
    if isinstance(value, str):
        return _text_size(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, (int, Decimal)):
        return _NUMBER_BYTES
    if isinstance(value, Mapping):
        return _CONTAINER_BYTES + sum(1 + _text_size(name) + _value_size(part) for name, part in value.items())
    return _CONTAINER_BYTES + sum(1 + _value_size(part) for part in value)


def _text_size(text: str) -> int:
    # Readers of documents refuse halves of surrogate pairs, after this.
    return len(text.encode(errors="surrogatepass"))
