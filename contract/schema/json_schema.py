"""JSON Schema (draft 2020-12) of a dataclass, from its types and the metadata of its fields.

The schema accepts what `contract.codec` accepts, with three limits of JSON Schema. It has no rules
between two fields, and it takes 1.0 for a whole number. Implementations differ on whether a
pattern's `$` matches before a final line break.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from contract import codec
from contract.checks import Check
from contract.schema.field_info import FieldInfo, info_of, is_required

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def json_schema(cls: type, *, title: str, description: str) -> dict[str, Any]:
    """Return the schema of a dataclass that people write as JSON, without a schema version.

    >>> from dataclasses import dataclass, field
    >>> from contract.schema.field_info import describe
    >>> @dataclass
    ... class Parcel:
    ...     grams: int = field(metadata=describe("Weight, in grams."))
    >>> json_schema(Parcel, title="Parcel", description="One parcel.")["properties"]
    {'grams': {'description': 'Weight, in grams.', 'type': 'integer'}}
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        **_object(cls),
    }


def _object(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    required = [field.name for field in fields if is_required(field)]
    return {
        "type": "object",
        "properties": {field.name: _property(field, hints[field.name]) for field in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property(field: "dataclasses.Field[Any]", hint: Any) -> dict[str, Any]:
    info = info_of(field)
    schema = _value(hint, info.check)
    return {**({"description": info.text} if info.text else {}), **schema, **_default(field, info)}


def _default(field: "dataclasses.Field[Any]", info: FieldInfo) -> dict[str, Any]:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    # An empty default that is described in words is a placeholder for another value. A nested
    # object's fields have their own defaults.
    is_placeholder = bool(info.default) and not value
    if is_placeholder or value is None or value is dataclasses.MISSING or dataclasses.is_dataclass(value):
        return {}
    return {"default": codec.to_value(value)}


def _value(hint: Any, check: Check | None) -> dict[str, Any]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(hint), check)
    return _merged(_type(hint, origin), check)


def _type(hint: Any, origin: Any) -> dict[str, Any]:
    if origin is typing.Literal:
        return {"type": "string", "enum": list(typing.get_args(hint))}
    if origin is tuple:
        return {"type": "array", "items": _value(typing.get_args(hint)[0], None)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _value(typing.get_args(hint)[1], None)}
    if dataclasses.is_dataclass(hint):
        return _object(typing.cast("type", hint))
    return {"type": _SCALARS[hint]}


def _union(choices: tuple[Any, ...], check: Check | None) -> dict[str, Any]:
    schemas = [_value(choice, check) for choice in choices if choice is not type(None)]
    if type(None) not in choices:
        return {"anyOf": schemas}
    if len(schemas) > 1:
        return {"anyOf": [{"type": "null"}, *schemas]}
    [schema] = schemas
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _merged(schema: dict[str, Any], check: Check | None) -> dict[str, Any]:
    """Add a check's keywords to the schema of the type that the check applies to."""
    kind = "number" if schema["type"] == "integer" else schema["type"]
    if check is None or check.json_type != kind:
        return schema
    keywords = check.keywords()
    if "items" in keywords:
        keywords["items"] = {**schema["items"], **keywords["items"]}
    return {**schema, **keywords}
