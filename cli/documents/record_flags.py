"""The flags of `fleetscore models register` and `import`, from the fields of a model's record.

A field of `ModelDocument` or `InputOptions` is a flag if it has a group or no default.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cli.documents.model_document import ModelDocument
from contract.dataset.input_options import InputOptions
from contract.schema.field_info import info_of, is_required

Kind = Literal["text", "integer", "number", "words", "cells", "pairs", "switch"]
"""Parsing of a flag's value.

`words` is a comma-separated list; `cells` is one that may contain empty texts. `pairs` is a
repeatable KEY=VALUE. A `switch` takes no value.
"""

REQUIRED = "Required"
GROUPS = (REQUIRED, "Input", "Output", "Fleet", "Loading and custom code", "Compute", "Version")
"""Headings of the flags, in the order of the help."""

_REQUIRED_ORDER = ("artifact", "dataset", "format", "model_file", "method", "features")
_ARGUMENT = "model_id"
"""The field that is the command's positional argument."""


@dataclass(frozen=True)
class RecordFlag:
    """One flag for a field of the record."""

    field: str
    """Name of the field in `ModelDocument` or, if `of_input` is set, in `InputOptions`."""
    flag: str
    kind: Kind
    help: str
    group: str
    metavar: str = ""
    switch_value: bool = False
    """The field's value when a `switch` is given."""
    of_input: bool = False
    """Whether the field is one of the record's `input`."""
    choices: tuple[str, ...] = ()
    """The values that the field takes; empty if it takes others."""

    @property
    def parameter(self) -> str:
        """Name of the command's parameter, with a prefix for a field of `input`."""
        return f"input_{self.field}" if self.of_input else self.field

    @property
    def required(self) -> bool:
        """Whether the record must have the field, from the flag or from `model.json`."""
        return self.group == REQUIRED


def record_flags() -> tuple[RecordFlag, ...]:
    """Return every flag, by group and then in the order of the fields.

    >>> [flag.flag for flag in record_flags() if flag.required]
    ['--artifact', '--dataset', '--format', '--model-file', '--method', '--features']
    """
    return tuple(sorted([*_flags_of(ModelDocument), *_flags_of(InputOptions)], key=_rank))


def kind_of(hint: Any, default: Any = None) -> Kind:
    """Return how text for a field of this type is read.

    >>> kind_of(int | None), kind_of(tuple[str, ...]), kind_of(tuple[str, ...], ("", "NA"))
    ('integer', 'words', 'cells')
    """
    choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return kind_of(choices[0], default)
    if hint == tuple[str, ...]:
        return "cells" if default and "" in default else "words"
    if typing.get_origin(hint) in (dict, Mapping):
        return "pairs"
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return kinds.get(hint, "text")


def _flags_of(cls: type) -> list[RecordFlag]:
    hints = typing.get_type_hints(cls)
    return [
        _flag(field, hints[field.name], of_input=cls is InputOptions)
        for field in dataclasses.fields(cls)
        if field.name != _ARGUMENT and (is_required(field) or info_of(field).group)
    ]


def _flag(field: "dataclasses.Field[Any]", hint: Any, *, of_input: bool) -> RecordFlag:
    info = info_of(field)
    kind = kind_of(hint, field.default)
    default = info.default or _in_words(field.default)
    # The help of a switch describes what the switch changes, so the default is clear.
    suffix = f" Default: {default}." if default and kind != "switch" and not info.flag_help else ""
    return RecordFlag(
        field=field.name,
        flag=info.flag or f"--{field.name.replace('_', '-')}",
        kind=kind,
        help=(info.flag_help or info.text) + _choices(hint, info.text) + suffix,
        group=info.group or REQUIRED,
        metavar=info.metavar,
        # A switch with a name of its own turns its field off.
        switch_value=not info.flag,
        of_input=of_input,
        choices=_named_choices(hint),
    )


def _choices(hint: Any, text: str) -> str:
    """Return a sentence with the allowed values of a field, unless its text names them."""
    named = _named_choices(hint)
    return "" if all(value in text for value in named) else f" One of {', '.join(named)}."


def _named_choices(hint: Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is not Literal:
        return ()
    return tuple(str(value) for value in typing.get_args(hint) if value)


def _in_words(default: Any) -> str:
    if default is dataclasses.MISSING or default in (None, "", ()):
        return ""
    if isinstance(default, tuple):
        return ", ".join(item or "the empty cell" for item in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _rank(flag: RecordFlag) -> tuple[int, int]:
    """Return the sort key of a flag.

    Required flags without a fixed position come after those with one.
    """
    known = _REQUIRED_ORDER.index(flag.field) if flag.field in _REQUIRED_ORDER else len(_REQUIRED_ORDER)
    return GROUPS.index(flag.group), known
