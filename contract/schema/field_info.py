"""Descriptions of dataclass fields, kept in their metadata.

Flags, JSON Schemas and reference tables are generated from them. To add a field, declare it with
`field(metadata=describe("What it means."))`.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.checks import Check, is_of_type
from contract.problems import Problem

_KEY = "fleetscore"


@dataclass(frozen=True)
class FieldInfo:
    """Description of a field, for people and programs."""

    text: str
    """Meaning of the field, in one or two sentences of plain text."""
    check: Check | None = None
    """Rule for the field's value beyond its type."""
    default: str = ""
    """Default in words, for defaults whose value alone is unclear."""
    group: str = ""
    """Heading under which the command's help lists the field's flag."""
    flag: str = ""
    """Name of the command's flag; empty: the field's name, as in `--key-columns`."""
    flag_help: str = ""
    """Help of the flag if `text` is unsuitable, as for a flag that turns something off."""
    metavar: str = ""
    """Placeholder for the flag's value."""
    see: str = ""
    """Markdown that only the reference table adds, such as a link."""


def describe(
    text: str,
    *,
    check: Check | None = None,
    default: str = "",
    group: str = "",
    flag: str = "",
    flag_help: str = "",
    metavar: str = "",
    see: str = "",
) -> Mapping[str, FieldInfo]:
    """Return the `metadata` of a dataclass field; the arguments are those of `FieldInfo`.

    >>> from dataclasses import dataclass, field, fields
    >>> @dataclass
    ... class Parcel:
    ...     grams: int = field(metadata=describe("Weight, in grams.", metavar="G"))
    >>> info_of(fields(Parcel)[0]).text
    'Weight, in grams.'
    """
    return {_KEY: FieldInfo(text, check, default, group, flag, flag_help, metavar, see)}


def info_of(field: dataclasses.Field[Any]) -> FieldInfo:
    """Return the description of a field; an empty one if it has none."""
    found = field.metadata.get(_KEY)
    return found if isinstance(found, FieldInfo) else FieldInfo("")


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def check_fields(record: Any) -> list[Problem]:
    """Check every field of a dataclass that declares a check, in the order of the fields."""
    problems: list[Problem] = []
    cls: type = type(record)
    for name, check in _checks(cls):
        value = getattr(record, name)
        if is_of_type(value, check.json_type):
            problems += check.problems(name, value)
    return problems


@functools.cache
def _checks(cls: type) -> tuple[tuple[str, Check], ...]:
    """Return the fields of a dataclass that declare a check, with it."""
    found = ((field.name, info_of(field).check) for field in dataclasses.fields(cls))
    return tuple((name, check) for name, check in found if check is not None)


def values_of(cls: type, record: Any) -> dict[str, Any]:
    """Return a record's values for the fields that it shares with a dataclass.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Size:
    ...     width: int
    >>> @dataclass
    ... class Box(Size):
    ...     label: str
    >>> values_of(Size, Box(3, "tea"))
    {'width': 3}
    """
    return {name: getattr(record, name) for name in _names(cls)}


@functools.cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))
