"""Intrinsic functions (`States.Format('{}', $.name)`).

ministack computes most functions. The others are here, because they were recorded on AWS with other
results.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.language import Context
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions.expressions.intrinsic_syntax import IntrinsicSyntaxError, Node, parse

Resolve = Callable[[str, Any, Context], Any]


def evaluate(expression: str, data: Any, context: Context, resolve: Resolve) -> Any:
    """Return the value of an expression; `resolve` returns the values of its paths.

    Raises:
        TaskError: States.Runtime, if a path has no match, and States.IntrinsicFailure, if a
            function cannot be computed.
    """

    def value(node: Node) -> Any:
        kind, content = node[:2]
        if kind == "call":
            return compute(content, [value(argument) for argument in node[2]])
        if kind == "text":
            return re.sub(r"\\(['\\])", r"\1", content)
        if kind != "path":
            return content
        try:
            return resolve(content, data, context)
        except TaskError as missing:
            text = f"The JsonPath argument for the field '{content}' could not be found in the input"
            raise TaskError("States.Runtime", _described(expression, f"{text} '{_json(data)[:1000]}'")) from missing

    def compute(name: str, arguments: list[Any]) -> Any:
        try:
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](*arguments)
            return language.compute_intrinsic(name, arguments)
        except (ValueError, TypeError, LookupError, AttributeError) as failure:
            raise TaskError("States.IntrinsicFailure", _described(expression, str(failure))) from failure

    try:
        node = parse(expression)
    except IntrinsicSyntaxError as failure:
        raise TaskError("States.IntrinsicFailure", _described(expression, str(failure))) from failure
    return value(node)


def _described(expression: str, problem: str) -> str:
    return f"The function '{expression}' had the following error: {problem}"


def _math_add(first: float, second: float) -> int:
    """Add two numbers, each rounded half up.

    >>> _math_add(1.49, 1.5), _math_add(-1.5, -1.51)
    (3, -3)
    """
    return math.floor(first + 0.5) + math.floor(second + 0.5)


def _string_to_json(text: str) -> Any:
    return json.loads(text) if text.strip() else None


def _format(template: str, *values: Any) -> str:
    r"""Replace each `{}` of a template; a backslash makes the next character literal.

    >>> _format(r"{} and \{\}", {"a": 1, "b": []})
    '{a=1, b=[]} and {}'
    """
    shown, text, index = iter(values), [], 0
    while index < len(template):
        if template[index] == "\\" and index + 1 < len(template):
            text.append(template[index + 1])
            index += 2
        elif template.startswith("{}", index):
            text.append(_shown(next(shown, "{}")))
            index += 2
        else:
            text.append(template[index])
            index += 1
    return "".join(text)


def _shown(value: Any) -> str:
    """Return a value as States.Format prints it: as Java prints maps and lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "States.MathAdd": _math_add,
    "States.StringToJson": _string_to_json,
    "States.Format": _format,
}
