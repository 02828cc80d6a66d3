"""Checks of the values of single fields, and of fields that exclude each other."""

import re
from collections.abc import Iterator
from typing import Any

from embedded.ministack.step_functions.language import path_tokens
from embedded.step_functions.data_flow import State
from embedded.step_functions.definition.problem import Problem
from embedded.step_functions.expressions.intrinsic_syntax import IntrinsicSyntaxError, parse, readable
from embedded.step_functions.expressions.timestamps import moment

_LONGEST_SECONDS = 99_999_999
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "TimeoutSeconds": (int, 1, _LONGEST_SECONDS),
    "Seconds": (int, 0, _LONGEST_SECONDS),
    "MaxConcurrency": (int, 0, float("inf")),
    "ToleratedFailureCount": (int, 0, float("inf")),
    "ToleratedFailurePercentage": (float, 0, 100),
    "MaxItems": (int, 0, 100_000_000),
    "IntervalSeconds": (int, 1, _LONGEST_SECONDS),
    "MaxAttempts": (int, 0, _LONGEST_SECONDS),
    "MaxDelaySeconds": (int, 1, 31_622_399),
    "BackoffRate": (float, 1, float("inf")),
}
"""Type, smallest and largest value per field."""
_PAIRED = (
    "TimeoutSeconds", "MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage", "MaxItems", "Error",
    "Cause",
)  # fmt: skip
"""Fields that can be given as a value or as a path, but not as both."""
_TEMPLATES = ("Parameters", "ResultSelector", "ItemSelector")
_NULLABLE_PATHS = ("InputPath", "OutputPath", "ResultPath")
_LABEL = re.compile(r"[^\s?*<>{}\[\]:;,\\|^~$#%&`\"\x00-\x1f\x7f-\x9f]*")
_LONGEST_LABEL = 40


def field_problems(fields: State, here: str, query: str) -> Iterator[Problem]:
    """Yield the problems of the values of a state, or of a part of it such as ReaderConfig."""
    for field in _PAIRED:
        if field in fields and f"{field}Path" in fields:
            yield Problem(f"Only one of '{field}' and '{field}Path' is supported", here)
    for field, value in fields.items():
        if query == "JSONata" and isinstance(value, str) and value.startswith("{%"):
            continue
        if field in _NUMBERS:
            yield from _number(field, value, f"{here}/{field}")
        elif field == "Timestamp" and moment(value) is None:
            yield Problem("String does not match RFC3339 timestamp", f"{here}/{field}")
        elif field == "Label":
            yield from _label(value, f"{here}/{field}")
        elif field.endswith("Path"):
            yield from _path(field, value, f"{here}/{field}")
        elif field in _TEMPLATES and query != "JSONata":
            yield from _template(value, f"{here}/{field}")


def error_list_problems(entries: Any, field: str, here: str) -> Iterator[Problem]:
    """Yield the problems of ErrorEquals in a state's Retry or Catch."""
    for index, entry in enumerate(entries):
        errors, place = entry.get("ErrorEquals"), f"{here}/{field}[{index}]"
        if errors is None:
            yield Problem("The field 'ErrorEquals' is required but was missing", place)
        elif not isinstance(errors, list) or not errors:
            yield Problem("Value cannot be empty", f"{place}/ErrorEquals")
        elif "States.ALL" in errors and (len(errors) > 1 or index < len(entries) - 1):
            yield Problem("'States.ALL' must stand alone, and in the last entry", f"{place}/ErrorEquals")


def _number(field: str, value: Any, here: str) -> Iterator[Problem]:
    kind, least, most = _NUMBERS[field]
    accepted = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted) or not least <= value <= most:
        name = "an integer" if kind is int else "a number"
        limits = f"of at least {least:g}" if most == float("inf") else f"from {least:g} to {most:,.0f}"
        yield Problem(f"The field '{field}' must be {name} {limits}", here)


def _label(value: Any, here: str) -> Iterator[Problem]:
    if not isinstance(value, str) or not value:
        yield Problem("Value cannot be empty", here)
    elif len(value) > _LONGEST_LABEL:
        yield Problem(f"Label cannot exceed {_LONGEST_LABEL} characters", here)
    elif not _LABEL.fullmatch(value):
        yield Problem(f"Label contains an invalid character: {value!r}", here)


def _path(field: str, value: Any, here: str) -> Iterator[Problem]:
    if value is None and field in _NULLABLE_PATHS:
        return
    if field == "ResultPath":
        tokens = path_tokens(value) if isinstance(value, str) and value.startswith("$") else None
        if tokens is None or value.startswith("$$") or any(kind == "wildcard" for kind, _ in tokens):
            yield Problem(f"Value is not a Reference Path: {value!r}", here)
        return
    is_function = field in ("ErrorPath", "CausePath") and isinstance(value, str) and value.startswith("States.")
    if not (_is_function_call(value) if is_function else readable(value)):
        yield Problem(f"Value is not a JSONPath that can be read: {value!r}", here)


def _template(template: Any, here: str) -> Iterator[Problem]:
    if isinstance(template, list):
        for item in template:
            yield from _template(item, here)
    if not isinstance(template, dict):
        return
    for key, value in template.items():
        if not key.endswith(".$"):
            yield from _template(value, here)
        elif not readable(value) and not _is_function_call(value):
            text = f"The value for the field '{key}' must be a valid JSONPath or a valid intrinsic function call"
            yield Problem(text, here)


def _is_function_call(value: Any) -> bool:
    try:
        parse(value)
    except (IntrinsicSyntaxError, TypeError):
        return False
    return True
