"""Check of a definition's structure: which fields are objects, and which are lists of objects."""

from collections.abc import Iterator
from typing import Any

from embedded.step_functions.definition.problem import Problem

_OBJECTS = ("ItemProcessor", "ProcessorConfig", "ItemReader", "ReaderConfig", "ResultWriter")
_LISTS = ("Retry", "Catch", "Choices", "Branches")
_TEXTS = (
    "Type", "Next", "Default", "QueryLanguage", "Resource", "Label", "Mode", "ExecutionType", "InputType",
    "JitterStrategy", "StartAt",
)  # fmt: skip


def structure_problems(machine: dict[str, Any]) -> Iterator[Problem]:
    """Yield the structural fields that have a wrong type.

    Other checks assume that there are none.
    """
    yield from _fields(machine, "")


def _states(states: Any, where: str) -> Iterator[Problem]:
    if not isinstance(states, dict):
        yield Problem("Value must be an object", f"{where}/States")
        return
    for name, state in states.items():
        yield from _fields(state, f"{where}/States/{name}")


def _fields(fields: Any, here: str) -> Iterator[Problem]:
    if not isinstance(fields, dict):
        yield Problem("Value must be an object", here)
        return
    for field in _TEXTS:
        if not isinstance(fields.get(field, ""), str):
            yield Problem("Value must be a string", f"{here}/{field}")
    for field in _OBJECTS:
        if field in fields:
            yield from _fields(fields[field], f"{here}/{field}")
    for field in _LISTS:
        if not isinstance(fields.get(field, []), list):
            yield Problem("Value must be a list", f"{here}/{field}")
            continue
        for index, item in enumerate(fields.get(field, [])):
            yield from _fields(item, f"{here}/{field}[{index}]")
    if "States" in fields:
        yield from _states(fields["States"], here)
