"""Constraints of botocore's service models that botocore does not check itself.

botocore's own validator checks types, required members and minimum lengths. The services also
enforce patterns, enums, maximum lengths and ranges. Workers of functions load this file by its
path.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
"""Python equivalents of Java's character classes inside brackets; \\w also matches the underscore.
"""
_NUMBERS = ("integer", "long", "float", "double")
_CONSTRAINTS = frozenset({"min", "max", "enum", "pattern"})


@functools.cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a Java pattern of a model.

    Raises:
        re.error: Python does not support a part of the pattern.
    """
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def failure(value: Any, path: str, constraint: str) -> str:
    """Return a violation in the services' wording."""
    text = str(value)
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def member_path(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def is_constrained(shape: Any) -> bool:
    """Return whether a shape, or one that it contains, has a constraint."""
    known: dict[str, bool] = shape.__dict__  # lives as long as the shape
    if "is_constrained" not in known:
        known["is_constrained"] = _contains_constraint(shape)
    return known["is_constrained"]


def _contains_constraint(shape: Any) -> bool:
    # Shapes may contain themselves.
    seen: set[str] = set()
    waiting = [shape]
    while waiting:
        found = waiting.pop()
        if _CONSTRAINTS & found.metadata.keys():
            return True
        if found.name not in seen:
            seen.add(found.name)
            waiting += _parts(found)
    return False


def _parts(shape: Any) -> list[Any]:
    """Return the shapes that a shape contains directly."""
    if shape.type_name == "structure":
        return list(shape.members.values())
    if shape.type_name == "list":
        return [shape.member]
    return [shape.key, shape.value] if shape.type_name == "map" else []


def constraint_problems(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield the violated constraints of a request whose types are right."""
    kind = shape.type_name
    if value is None:
        return
    if kind == "structure" and isinstance(value, dict):
        for name, member in value.items():
            part = shape.members.get(name)
            if part is not None and is_constrained(part):
                yield from constraint_problems(part, member, member_path(path, name))
    elif kind == "list" and isinstance(value, (list, tuple)):
        yield from length_problems(shape, value, path)
        for number, item in enumerate(value, 1):
            yield from constraint_problems(shape.member, item, f"{path}.{number}.member")
    elif kind == "map" and isinstance(value, dict):
        yield from length_problems(shape, value, path)
        for key, item in value.items():
            yield from constraint_problems(shape.key, key, f"{path}.{key}.key")
            yield from constraint_problems(shape.value, item, f"{path}.{key}.value")
    elif kind == "string" and isinstance(value, str):
        yield from text_problems(shape, value, path)
    elif kind == "blob" and isinstance(value, (bytes, bytearray, str)):
        yield from length_problems(shape, value, path)
    elif kind in _NUMBERS and isinstance(value, (int, float)):
        yield from range_problems(shape, value, path)


def text_problems(shape: Any, value: str, path: str) -> Iterator[str]:
    """Yield the violations of length, enum and pattern."""
    yield from length_problems(shape, value, path)
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield failure(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield failure(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return compiled_pattern(pattern).fullmatch(value) is not None
    except re.error:
        # A few patterns are Java's own, or mistaken: no field that Fleetscore sends has one.
        return True


def length_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield failure(value, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield failure(value, path, f"Member must have length less than or equal to {most}")


def range_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield failure(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield failure(value, path, f"Member must have value less than or equal to {most}")


def check_clients() -> None:
    """Make every botocore client of this process refuse a request that violates its model.

    The error is botocore's own ParamValidationError. Clients with `parameter_validation=False` stay
    unchecked. Idempotent.
    """
    from botocore.exceptions import ParamValidationError  # noqa: PLC0415 - processes without clients start faster
    from botocore.validate import ParamValidationDecorator  # noqa: PLC0415

    serialize = ParamValidationDecorator.serialize_to_request
    if getattr(serialize, "checks_constraints", False):
        return

    def checked(decorator: Any, parameters: Any, operation: Any) -> Any:
        request = serialize(decorator, parameters, operation)
        shape = operation.input_shape
        if problems := [] if shape is None else list(constraint_problems(shape, parameters)):
            raise ParamValidationError(report=f"{operation.name}: {'; '.join(problems)}")
        return request

    checked.checks_constraints = True  # type: ignore[attr-defined]
    ParamValidationDecorator.serialize_to_request = checked
