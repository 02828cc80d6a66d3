"""Numeric fields of a Map state, given as values, as expressions or as paths."""

from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.data_flow import State, dump, resolve
from embedded.step_functions.executions.execution import Branch


def whole_number(branch: Branch, fields: State, field: str, raw: Any, effective: Any, *, default: int = 0) -> int:
    """Return an integer field.

    Raises:
        TaskError: States.Runtime, worded as on AWS, if the path's value is not an integer.
    """
    value = _value(branch, fields, field, raw, effective, default=default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(fields, field, value, "integer")
    return value


def decimal_number(branch: Branch, fields: State, field: str, raw: Any, effective: Any) -> float:
    """Return a decimal field; 0 without it.

    Raises:
        TaskError: States.Runtime, worded as on AWS, if the path's value is not a number.
    """
    value = _value(branch, fields, field, raw, effective, default=0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(fields, field, value, "float")
    return float(value)


def max_concurrency(branch: Branch, state: State, raw: Any, effective: Any) -> int:
    value = whole_number(branch, state, "MaxConcurrency", raw, effective)
    if value < 0:
        raise TaskError("States.Runtime", "MaxConcurrency cannot be negative.")
    return value


def tolerated_failures(branch: Branch, state: State, raw: Any, effective: Any) -> dict[str, float]:
    """Return the limits that the state sets, by field."""
    tolerated: dict[str, float] = {}
    for field in ("ToleratedFailureCount", "ToleratedFailurePercentage"):
        if field not in state and f"{field}Path" not in state:
            continue
        if field == "ToleratedFailureCount":
            tolerated[field] = whole_number(branch, state, field, raw, effective)
            if tolerated[field] < 0:
                raise TaskError("States.Runtime", f"{field} cannot be negative.")
        else:
            tolerated[field] = decimal_number(branch, state, field, raw, effective)
            if not 0 <= tolerated[field] <= 100:
                raise TaskError("States.Runtime", f"{field} must be between 0 and 100.")
    return tolerated


def _value(branch: Branch, fields: State, field: str, raw: Any, effective: Any, *, default: float) -> Any:
    if f"{field}Path" in fields:
        return resolve(fields[f"{field}Path"], effective, branch.context, f"{field}Path")
    if branch.query_language == "JSONata" and field in fields:
        return language.jsonata_template(fields[field], raw, branch.context)
    return fields.get(field, default)


def _wrong(fields: State, field: str, value: Any, kind: str) -> TaskError:
    shown = value if isinstance(value, str) else dump(value)
    if f"{field}Path" not in fields:
        return TaskError("States.Runtime", f"{field} must be a valid {kind} but was: {shown}")
    path = fields[f"{field}Path"]
    text = f'The {field}Path field refers to value "{shown}" which is not a valid {kind}: {path}'
    return TaskError("States.Runtime", text)
