"""Parser of intrinsic functions, as strict as CreateStateMachine."""

import functools
import json
import re
from typing import Any

from embedded.ministack.step_functions.language import path_tokens

_ARGUMENTS: dict[str, tuple[int, int]] = {
    "States.Format": (1, 1000), "States.Array": (0, 1000), "States.StringToJson": (1, 1),
    "States.JsonToString": (1, 1), "States.ArrayPartition": (2, 2), "States.ArrayContains": (2, 2),
    "States.ArrayRange": (3, 3), "States.ArrayGetItem": (2, 2), "States.ArrayLength": (1, 1),
    "States.ArrayUnique": (1, 1), "States.Base64Encode": (1, 1), "States.Base64Decode": (1, 1),
    "States.Hash": (2, 2), "States.JsonMerge": (3, 3), "States.MathRandom": (2, 3), "States.MathAdd": (2, 2),
    "States.StringSplit": (2, 2), "States.UUID": (0, 0),
}  # fmt: skip
"""Fewest and most arguments per function."""
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<function>States\.\w+)\s*\(
      | (?P<path>\$(?:\['(?:[^'\\]|\\.)*'\]|\["(?:[^"\\]|\\.)*"\]|\[[^\]'"]*\]|[^,()\[\]\s])*)
      | '(?P<text>(?:[^'\\]|\\['{}\\])*)'
      | (?P<literal>-?\d+(?:\.\d+)?|true|false|null)(?![\w.])
    )\s*""",
    re.VERBOSE,
)

Node = tuple[Any, ...]
"""("call", name, argument nodes), ("path", path), ("text", raw text) or ("literal", value)."""


class IntrinsicSyntaxError(ValueError):
    """The expression is not a call of an intrinsic function."""


@functools.lru_cache(1024)
def parse(expression: str) -> Node:
    """Parse an expression.

    >>> parse("States.Array($.a, 'b', 1)")
    ('call', 'States.Array', [('path', '$.a'), ('text', 'b'), ('literal', 1)])

    Raises:
        IntrinsicSyntaxError: The expression is malformed, a function is unknown, or it has a wrong
            number of arguments.
    """
    node, end = _parse_value(expression, 0)
    if node[0] != "call" or end != len(expression):
        raise IntrinsicSyntaxError(f"{expression!r} is not a call of an intrinsic function")
    return node


def _parse_value(text: str, start: int) -> tuple[Node, int]:
    token = _TOKEN.match(text, start)
    if token is None:
        raise IntrinsicSyntaxError(f"an argument is expected at character {start + 1} of {text!r}")
    kind, end = token.lastgroup or "", token.end()
    value = token[kind]
    if kind == "function":
        return _parse_call(text, value, end)
    if kind == "path" and not readable(value):
        raise IntrinsicSyntaxError(f"{value!r} is not a JSONPath that the embedded AWS can read")
    return (kind, json.loads(value) if kind == "literal" else value), end


def _parse_call(text: str, name: str, start: int) -> tuple[Node, int]:
    arguments: list[Node] = []
    end = start
    while not text.startswith(")", end):
        if arguments:
            if not text.startswith(",", end):
                raise IntrinsicSyntaxError(f"',' or ')' is expected at character {end + 1} of {text!r}")
            end += 1
        argument, end = _parse_value(text, end)
        arguments.append(argument)
    fewest, most = _ARGUMENTS.get(name, (0, -1))
    if not fewest <= len(arguments) <= most:
        problem = f"takes {fewest} to {most} arguments, not {len(arguments)}" if most >= 0 else "does not exist"
        raise IntrinsicSyntaxError(f"the function {name} {problem}")
    end += 1
    while text[end : end + 1].isspace():
        end += 1
    return ("call", name, arguments), end


def readable(path: Any) -> bool:
    """Return whether a value is a path, or a path of the context object, that can be evaluated."""
    if not isinstance(path, str) or not path.startswith("$"):
        return False
    return path in ("$", "$$") or path_tokens(path[1:] if path.startswith("$$") else path) is not None
