"""The options of `models register` and `import`: one per field of a model's record, in groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem

from cli.command_line.options import cells, words
from cli.documents.record_flags import REQUIRED, Kind, RecordFlag, record_flags
from contract.codec import MISSING_VALUE
from contract.problems import InvalidInputError

F = TypeVar("F", bound=Callable[..., Any])

REQUIRED_PANEL = "Required, unless the JSON file or the registry has them"
"""Heading of the required fields in the help screens."""

_TYPES: dict[Kind, Callable[[str], Any]] = {
    "text": str,
    "integer": int,
    "number": float,
    "words": words,
    "cells": cells,
    "pairs": str,
}


def record_options(*, artifact: bool) -> Callable[[F], F]:
    """Add an option for every field of a model's record, with or without the artifact."""

    def add(handler: F) -> F:
        for flag in reversed(record_flags()):
            if artifact or flag.field != "artifact":
                handler = _option(flag)(handler)
        return handler

    return add


def given_fields(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record's fields that the command line sets, by parameter name."""
    fields = {flag.parameter: parameters.get(flag.parameter) for flag in record_flags()}
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def given_flags(fields: Mapping[str, Any]) -> list[str]:
    """Return the flags of these fields, such as `--key-columns`."""
    return [flag.flag for flag in record_flags() if flag.parameter in fields]


@contextmanager
def missing_flags_named() -> Iterator[None]:
    """Name the flag of each missing required field in the problems that the block raises."""
    flags = {flag.field: flag.flag for flag in record_flags() if flag.required}
    flags["features"] += " or --infer-schema"
    try:
        yield
    except InvalidInputError as error:
        named = [
            replace(problem, remedy=f"Add {flags[problem.field]}.")
            if problem.expected == MISSING_VALUE and problem.field in flags
            else problem
            for problem in error.problems
        ]
        raise InvalidInputError(error.subject, named) from error


def _option(flag: RecordFlag) -> Callable[[F], F]:
    panel = REQUIRED_PANEL if flag.group == REQUIRED else flag.group
    # Every default is None, so that a missing option differs from an empty one.
    settings: dict[str, Any] = {"help": flag.help, "panel": panel, "default": None}
    if flag.kind == "switch":
        settings |= {"is_flag": True, "flag_value": flag.switch_value}
    else:
        settings |= {
            "type": _TYPES[flag.kind],
            "metavar": flag.metavar or flag.field.upper(),
            "multiple": flag.kind == "pairs",
        }
        if flag.choices:
            settings["shell_complete"] = _completion_of(flag.choices)
        elif flag.field == "artifact":
            settings["shell_complete"] = _complete_file
    return click.option(flag.flag, flag.parameter, **settings)


def _completion_of(choices: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a shell completion for these values."""
    return lambda _context, _parameter, typed: [choice for choice in choices if choice.startswith(typed)]


def _complete_file(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Let the shell complete a path; `s3://` addresses stay as they are typed."""
    return [CompletionItem(typed, type="file")]
