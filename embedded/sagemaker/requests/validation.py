"""Validation of requests against botocore's model of the service.

botocore's validator checks types, required members and minimum lengths only. The service also
enforces patterns, enums, maxima and ranges. This module checks all of them and reports every
problem of a request at once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session

_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
"""Python equivalents of Java's character classes inside brackets; \\w also matches the underscore.
"""


@functools.cache
def service_model() -> Any:
    """Return botocore's ServiceModel of SageMaker.

    The model is several megabytes of JSON, so it is cached.
    """
    return botocore.session.get_session().get_service_model("sagemaker")


@functools.cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a Java pattern of the model."""
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def request_problems(operation: str, request: Any) -> list[str]:
    """Return the violations of the model of `operation` in `request`, in the service's wording.

    >>> request_problems("StopProcessingJob", {})
    ["Value 'null' at 'processingJobName' failed to satisfy constraint: Member must not be null"]
    """
    shape = service_model().operation_model(operation).input_shape
    if shape is None:
        return []
    if not isinstance(request, dict):
        return [f"Value '{_short(request)}' at 'body' failed to satisfy constraint: Member must be a JSON object"]
    return list(_problems(shape, request, ""))


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    walk = {
        "structure": _structure_problems,
        "list": _list_problems,
        "map": _map_problems,
        "string": _string_problems,
        "integer": _number_problems,
        "long": _number_problems,
        "float": _number_problems,
        "double": _number_problems,
        "boolean": _boolean_problems,
        "timestamp": _timestamp_problems,
    }[shape.type_name]
    yield from walk(shape, value, path)


def _failure(value: Any, path: str, constraint: str) -> str:
    return f"Value '{_short(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _member_path(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _structure_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _failure(value, path, "Member must be a JSON object")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield _failure("null", _member_path(path, name), "Member must not be null")
    for name, member in value.items():
        if name not in shape.members:
            known = ", ".join(sorted(shape.members))
            yield _failure(member, _member_path(path, name), f"Member is not known: it must be one of [{known}]")
        elif member is not None:
            yield from _problems(shape.members[name], member, _member_path(path, name))


def _list_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _failure(value, path, "Member must be a JSON array")
        return
    yield from _length_problems(shape, value, path)
    for number, item in enumerate(value, 1):
        yield from _problems(shape.member, item, f"{path}.{number}.member")


def _map_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _failure(value, path, "Member must be a JSON object")
        return
    yield from _length_problems(shape, value, path)
    for key, item in value.items():
        yield from _problems(shape.key, key, f"{path}.{key}.key")
        yield from _problems(shape.value, item, f"{path}.{key}.value")


def _string_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _failure(value, path, "Member must be a string")
        return
    yield from _length_problems(shape, value, path)
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _failure(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and compiled_pattern(pattern).fullmatch(value) is None:
        yield _failure(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _length_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _failure(value, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _failure(value, path, f"Member must have length less than or equal to {most}")


def _number_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    whole = shape.type_name in {"integer", "long"}
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        yield _failure(value, path, f"Member must be {'an integer' if whole else 'a number'}")
        return
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _failure(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _failure(value, path, f"Member must have value less than or equal to {most}")


def _boolean_problems(_shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _failure(value, path, "Member must be a boolean")


def _timestamp_problems(_shape: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield _failure(value, path, "Member must be a timestamp in epoch seconds")
