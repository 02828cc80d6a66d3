"""A validator for the JSON Schema keywords that the generated schemas use."""

import math
import re
from typing import Any

_ANNOTATIONS = {"$schema", "title", "description", "default"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Tell whether a value is valid. Raises KeyError for any other keyword."""
    return all(_RULES[keyword](schema, value) for keyword in schema if keyword not in _ANNOTATIONS)


def _is(kind: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
        "number": number,
        "integer": number and math.isfinite(value) and value == int(value),
    }[kind]


def _type(schema: dict[str, Any], value: Any) -> bool:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(_is(kind, value) for kind in kinds)


def _properties(schema: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, dict):
        return True
    return all(accepts(rule, value[name]) for name, rule in schema["properties"].items() if name in value)


def _additional(schema: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, dict):
        return True
    others = [item for name, item in value.items() if name not in schema.get("properties", {})]
    rule = schema["additionalProperties"]
    return not others if rule is False else all(accepts(rule, item) for item in others)


def _unique(schema: dict[str, Any], value: Any) -> bool:
    return not isinstance(value, list) or all(item not in value[:index] for index, item in enumerate(value))


_RULES: dict[str, Any] = {
    "type": _type,
    "enum": lambda schema, value: any(value == choice and type(value) is type(choice) for choice in schema["enum"]),
    "anyOf": lambda schema, value: any(accepts(choice, value) for choice in schema["anyOf"]),
    "properties": _properties,
    "additionalProperties": _additional,
    "required": lambda schema, value: not isinstance(value, dict) or all(name in value for name in schema["required"]),
    "minProperties": lambda schema, value: not isinstance(value, dict) or len(value) >= schema["minProperties"],
    "items": lambda s, value: not isinstance(value, list) or all(accepts(s["items"], item) for item in value),
    "minItems": lambda schema, value: not isinstance(value, list) or len(value) >= schema["minItems"],
    "maxItems": lambda schema, value: not isinstance(value, list) or len(value) <= schema["maxItems"],
    "uniqueItems": _unique,
    "pattern": lambda s, value: not isinstance(value, str) or re.search(s["pattern"], value) is not None,
    "minLength": lambda schema, value: not isinstance(value, str) or len(value) >= schema["minLength"],
    "maxLength": lambda schema, value: not isinstance(value, str) or len(value) <= schema["maxLength"],
    "minimum": lambda schema, value: not _is("number", value) or value >= schema["minimum"],
    "maximum": lambda schema, value: not _is("number", value) or value <= schema["maximum"],
}
