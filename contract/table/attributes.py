"""Values of table items: JSON without floats and None, for boto3's resource layer.

A list or an object such as a model's spec is stored as JSON text. boto3 takes a millisecond to read
it otherwise, and a plan reads thousands. A long list, such as the features of a wide model, is
stored compressed in a binary attribute, because DynamoDB limits items to 400 KB. No other attribute
is binary.
"""

import bz2
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from contract.json_text import parse_json

_PLAIN_BYTES = 512
"""Largest list or object that is stored as it is, in characters of JSON."""
_TEXT_BYTES = 32 << 10
"""Largest list or object that is stored as text, in characters of JSON."""
_TEXT = "json:"
"""Prefix of texts whose rest is JSON. Plain texts with this prefix are written as JSON too."""
_MAX_LIST_BYTES = 64 << 20
"""Largest list that is unpacked, in bytes of JSON."""
_SMALLEST_NUMBER = 1e-120
"""Smallest number above 0 that a table item can hold, with a margin."""


def to_attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object as boto3's resource layer accepts it: without floats and None.

    >>> to_attributes({"fraction": 0.5, "label": None})
    {'fraction': Decimal('0.5')}
    """
    return {key: _to_attribute(value) for key, value in record.items() if value is not None}


def _to_attribute(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        # DynamoDB has no number between 0 and 1e-130.
        return Decimal(str(value)) if abs(value) >= _SMALLEST_NUMBER else Decimal(0)
    if isinstance(value, Mapping):
        return _text(value) or to_attributes(value)
    if isinstance(value, (list, tuple)):
        return _text(value) or _packed(value) or [_to_attribute(item) for item in value]
    if isinstance(value, str) and value.startswith(_TEXT):
        return f"{_TEXT}{json.dumps(value)}"
    return value


def from_attribute(value: Any) -> Any:
    """Return the JSON value of an attribute; whole numbers become integers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: from_attribute(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_attribute(item) for item in value]
    if isinstance(value, str):
        return parse_json(value.removeprefix(_TEXT)) if value.startswith(_TEXT) else value
    # boto3 wraps bytes that it has read.
    content = getattr(value, "value", value)
    return _unpacked(content) if isinstance(content, bytes) else value


def _text(value: Any) -> str:
    """Return a list or object as text; empty for a value that is too small or too large."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return f"{_TEXT}{text}" if _PLAIN_BYTES < len(text) <= _TEXT_BYTES else ""


def _packed(values: Sequence[Any]) -> bytes:
    """Return a long list in packed form; empty for a list that is stored as it is.

    Objects with the same fields are packed by field, which takes a quarter less space.
    """
    text = _json(values)
    if len(text) <= _TEXT_BYTES:
        return b""
    names = list(values[0]) if isinstance(values[0], Mapping) else []
    if names and all(isinstance(item, Mapping) and list(item) == names for item in values):
        text = _json({name: [item[name] for item in values] for name in names})
    return bz2.compress(text)


def _unpacked(packed: bytes) -> list[Any]:
    text = bz2.BZ2Decompressor().decompress(packed, _MAX_LIST_BYTES)
    found = parse_json(text, max_bytes=_MAX_LIST_BYTES)
    if isinstance(found, dict):
        return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return list(found)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
