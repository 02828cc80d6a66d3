"""How data enters and leaves a state: paths, templates, size limits.

ministack resolves a path that leads nowhere to null; AWS fails the execution, and so does this.
"""

import copy
import json
from typing import Any

from embedded.seams.language import Context, intrinsic, path_tokens
from embedded.seams.tasks import TaskError

PAYLOAD_LIMIT_BYTES = 262_144

State = dict[str, Any]


def dump(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def limited(data: Any, what: str) -> Any:
    """`data` itself, if as JSON it is no longer than a state's input or output may be."""
    size = len(dump(data).encode())
    if size > PAYLOAD_LIMIT_BYTES:
        text = f"{what} has a size of {size} bytes, which exceeds the maximum of {PAYLOAD_LIMIT_BYTES} bytes"
        raise TaskError("States.DataLimitExceeded", text)
    return data


def resolve(path: str, data: Any, context: Context, field: str = "path") -> Any:
    """The value that a path (`$.a[0].b`), context path (`$$.Execution.Id`) or intrinsic (`States.…`) stands for."""
    if path.startswith("States."):
        return intrinsic(path, data, context)
    if path == "$":
        return data
    if path == "$$":
        return public_context(context)
    root = public_context(context) if path.startswith("$$") else data
    tokens = path_tokens(path[1:] if path.startswith("$$") else path) if path.startswith("$") else None
    if tokens is None:
        raise TaskError("States.Runtime", f"{field}: {path!r} is not a JSONPath that the embedded AWS can read")
    values, several = [root], False
    for kind, key in tokens:
        found: list[Any] = []
        for value in values:
            is_there = (isinstance(value, dict) and key in value) if kind == "field" else False
            if kind == "index":
                is_there = isinstance(value, list) and key < len(value)
            if is_there:
                found.append(value[key])
            elif kind == "wildcard" and isinstance(value, list | dict):
                found.extend(value if isinstance(value, list) else value.values())
        values, several = found, several or kind == "wildcard"
    if several:
        return values
    if not values:
        where = "the context object" if path.startswith("$$") else f"the input '{dump(data)[:1000]}'"
        text = f"The JSONPath '{path}' specified for the field '{field}' could not be found in {where}"
        raise TaskError("States.Runtime", text)
    return values[0]


def public_context(context: Context) -> Context:
    """The context object as `$$` shows it, without the interpreter's own entries."""
    return {key: value for key, value in context.items() if key not in ("QueryLanguage", "variables")}


def fill(template: Any, data: Any, context: Context) -> Any:
    """A payload template with each `"name.$": path` replaced by what the path stands for."""
    if isinstance(template, list):
        return [fill(item, data, context) for item in template]
    if not isinstance(template, dict):
        return template
    return {
        (key[:-2] if key.endswith(".$") else key): (
            resolve(value, data, context, key) if key.endswith(".$") else fill(value, data, context)
        )
        for key, value in template.items()
    }


def state_input(state: State, raw: Any, context: Context) -> Any:
    """What InputPath lets in."""
    path = state.get("InputPath", "$")
    return {} if path is None else resolve(path, raw, context, "InputPath")


def state_output(state: State, raw: Any, result: Any, context: Context) -> Any:
    """What ResultSelector, ResultPath and OutputPath make of a result."""
    if "ResultSelector" in state:
        result = fill(state["ResultSelector"], result, context)
    return output_path(state, place(state.get("ResultPath", "$"), raw, result), context)


def output_path(state: State, data: Any, context: Context) -> Any:
    path = state.get("OutputPath", "$")
    return {} if path is None else resolve(path, data, context, "OutputPath")


def place(path: str | None, original: Any, result: Any) -> Any:
    """`original` with `result` at the reference path; null keeps the original, `$` replaces it."""
    if path is None:
        return original
    if path == "$":
        return result
    tokens = path_tokens(path)
    if not tokens or any(kind != "field" for kind, _ in tokens) or not isinstance(original, dict):
        text = f"Unable to apply step {path!r} to input '{dump(original)[:1000]}'"
        raise TaskError("States.ResultPathMatchFailure", text)
    output = copy.deepcopy(original)
    node = output
    for _, name in tokens[:-1]:
        child = node.setdefault(name, {})
        if not isinstance(child, dict):
            raise TaskError(
                "States.ResultPathMatchFailure", f"ResultPath: {path!r} leads through a value, not an object"
            )
        node = child
    node[tokens[-1][1]] = result
    return output


def number(state: State, field: str, data: Any, context: Context, *, default: float) -> float:
    """A numeric field, from `field` itself or from its `…Path` form."""
    value = state.get(field, default)
    if f"{field}Path" in state:
        value = resolve(state[f"{field}Path"], data, context, f"{field}Path")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise TaskError("States.Runtime", f"{field}: expected a number of at least 0, but it is {dump(value)}")
    return value
