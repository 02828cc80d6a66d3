"""Reference tables, in Markdown, of the fields of dataclasses, from their types and metadata."""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from contract import codec
from contract.schema.field_info import info_of, is_required

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def field_table(*classes: type, without: Collection[str] = ()) -> str:
    """Return a Markdown table of dataclasses: each field's name, type, default and meaning.

    The fields of a nested dataclass have dotted names. Fields named in `without` are left out.

    >>> from dataclasses import dataclass, field
    >>> from contract.schema.field_info import describe
    >>> @dataclass
    ... class Parcel:
    ...     grams: int = field(default=1, metadata=describe("Weight, in grams."))
    >>> print(field_table(Parcel), end="")
    | Field | Type | Default | Meaning |
    |---|---|---|---|
    | `grams` | whole number | 1 | Weight, in grams. |
    """
    head = ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(row for cls in classes for row in _rows(cls, "", without))]) + "\n"


def _rows(cls: type, prefix: str, without: Collection[str]) -> Iterator[str]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in without:
            continue
        hint = hints[field.name]
        yield _row(field, hint, prefix)
        if dataclasses.is_dataclass(hint):
            yield from _rows(typing.cast("type", hint), f"{prefix}{field.name}.", without)


def type_in_words(hint: Any) -> str:
    """Name a field's type for people.

    >>> type_in_words(tuple[str, ...]), type_in_words(int | None)
    ('list of texts', 'whole number')
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(choice) for choice in typing.get_args(hint) if choice is not type(None))
    if origin is tuple:
        return f"list of {type_in_words(typing.get_args(hint)[0])}s"
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(hint) if value)
    if origin in (dict, Mapping):
        return f"object of {type_in_words(typing.get_args(hint)[1])}s"
    return "object" if dataclasses.is_dataclass(hint) else _WORDS[hint]


def _row(field: "dataclasses.Field[Any]", hint: Any, prefix: str) -> str:
    info = info_of(field)
    default = "required" if is_required(field) else info.default or _default_in_words(field)
    meaning = " ".join(part for part in (info.text, info.see) if part)
    cells = (f"`{prefix}{field.name}`", type_in_words(hint), default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "\\<") for cell in cells) + " |"


def _default_in_words(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if dataclasses.is_dataclass(value):
        return ""
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" if item else "empty" for item in value)
    return f"`{codec.to_value(value)}`" if isinstance(value, str) else str(value).lower()
