"""Input and output of a state: paths, templates and size limits.

A path without a match fails the execution, as on AWS; ministack resolves it to null.
"""

import json
from typing import Any

from embedded.ministack.step_functions.language import Context, PathTokens, path_tokens
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.expressions import intrinsics

PAYLOAD_LIMIT_BYTES = 262_144
"""Largest input or output of a state, in bytes of UTF-8 JSON."""

State = dict[str, Any]


dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""Returns data as compact JSON."""


def check_size(data: Any, what: str) -> str:
    """Check that the JSON of `data` is within the payload limit, and return it.

    Raises:
        TaskError: States.DataLimitExceeded, whose message begins with `what`.
    """
    text = dump(data)
    size = _size(text)
    if size > PAYLOAD_LIMIT_BYTES:
        cause = f"{what} has a size of {size} bytes, which exceeds the maximum of {PAYLOAD_LIMIT_BYTES} bytes"
        raise TaskError("States.DataLimitExceeded", cause)
    return text


def check_result_size(data: Any, name: str, text: str | None = None) -> str:
    """Check that the JSON of a result is within the payload limit, and return it. `text` is the JSON if it is known.

    Raises:
        TaskError: States.DataLimitExceeded, worded as on AWS about the state or service `name`.
    """
    text = dump(data) if text is None else text
    if _size(text) > PAYLOAD_LIMIT_BYTES:
        cause = f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service"
        raise TaskError("States.DataLimitExceeded", f"{cause} limit.")
    return text


def _size(text: str) -> int:
    # Half of a surrogate pair is valid JSON, and the workflow must be able to refuse it.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def resolve(path: str, data: Any, context: Context, field: str = "path") -> Any:
    """Return the value of a path, a context path (`$$.Execution.Id`) or an intrinsic (`States.…`).

    >>> resolve("$.a[0].b", {"a": [{"b": 1}]}, {})
    1

    Raises:
        TaskError: States.Runtime, naming `field`, if the path has no match or cannot be parsed.
    """
    if path.startswith("States."):
        return intrinsics.evaluate(path, data, context, resolve)
    if path == "$":
        return data
    if path == "$$":
        return public_context(context)
    root = public_context(context) if path.startswith("$$") else data
    tokens = path_tokens(path[1:] if path.startswith("$$") else path) if path.startswith("$") else None
    if tokens is None:
        raise TaskError("States.Runtime", f"{field}: {path!r} is not a JSONPath that the embedded AWS can read")
    value = root
    for kind, key in tokens:
        if (kind == "field" and isinstance(value, dict) and key in value) or (
            kind == "index" and isinstance(value, list) and key < len(value)
        ):
            value = value[key]
        else:
            return _found(path, tokens, root, field, data)
    return value


def _found(path: str, tokens: PathTokens, root: Any, field: str, data: Any) -> Any:
    """Return the values of a path with wildcards. Raises TaskError if a path has no match."""
    values, several = [root], False
    for depth, (kind, key) in enumerate(tokens):
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
        if not values and not several:
            raise TaskError("States.Runtime", _no_match(path, tokens, depth, field, data))
    return values if several else values[0]


def _no_match(path: str, tokens: PathTokens, depth: int, field: str, data: Any) -> str:
    """Return AWS's text about a path whose step `depth` has no match."""
    if field.endswith(".$") or field in ("ErrorPath", "CausePath"):
        shown = dump(data)[:1000]
        return f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{shown}'"
    steps = "".join(f"['{key}']" if kind == "field" else f"[{key}]" for kind, key in tokens[: depth + 1])
    problem = "No results for path" if depth == len(tokens) - 1 else "Missing property in path"
    return f"Invalid path '{path}' : {problem}{':' if depth == len(tokens) - 1 else ''} ${steps}"


def public_context(context: Context) -> Context:
    """Return the context object as `$$` shows it, without the interpreter's own entries."""
    return {key: value for key, value in context.items() if key not in ("QueryLanguage", "variables")}


def fill(template: Any, data: Any, context: Context) -> Any:
    """Return a payload template with each `"name.$": path` replaced by the path's value."""
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
    """Apply InputPath."""
    path = state.get("InputPath", "$")
    return {} if path is None else resolve(path, raw, context, "InputPath")


def state_output(state: State, raw: Any, result: Any, context: Context) -> Any:
    """Apply ResultSelector, ResultPath and OutputPath to a result."""
    if "ResultSelector" in state:
        result = fill(state["ResultSelector"], result, context)
    return output_path(state, insert_result(state.get("ResultPath", "$"), raw, result), context)


def output_path(state: State, data: Any, context: Context) -> Any:
    """Apply OutputPath."""
    path = state.get("OutputPath", "$")
    return {} if path is None else resolve(path, data, context, "OutputPath")


def insert_result(path: str | None, original: Any, result: Any) -> Any:
    """Return a copy of `original` with `result` at a reference path.

    The path None (null) drops the result, and `$` replaces the original.

    >>> insert_result("$.a.b", {"a": {"c": 1}}, 2)
    {'a': {'c': 1, 'b': 2}}
    """
    if path is None:
        return original
    if path == "$":
        return result
    tokens = path_tokens(path)
    if not tokens or any(kind != "field" for kind, _ in tokens) or not isinstance(original, dict):
        text = f"Unable to apply step {path!r} to input '{dump(original)[:1000]}'"
        raise TaskError("States.ResultPathMatchFailure", text)
    # Data of states never changes, so the copy may share what is beside the path.
    output = dict(original)
    node = output
    for _, name in tokens[:-1]:
        child = node.get(name, {})
        if not isinstance(child, dict):
            raise TaskError(
                "States.ResultPathMatchFailure", f"ResultPath: {path!r} leads through a value, not an object"
            )
        node[name] = dict(child)
        node = node[name]
    node[tokens[-1][1]] = result
    return output


def number(state: State, field: str, data: Any, context: Context, *, default: float) -> float:
    """Return a numeric field, given as `field` or as `fieldPath`.

    Raises:
        TaskError: States.Runtime, if the value is not a number of at least 0.
    """
    value = state.get(field, default)
    if f"{field}Path" in state:
        value = resolve(state[f"{field}Path"], data, context, f"{field}Path")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise TaskError("States.Runtime", f"{field}: expected a number of at least 0, but it is {dump(value)}")
    return value
