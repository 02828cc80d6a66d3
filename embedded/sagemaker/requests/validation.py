"""Validation of requests against botocore's model of the service.

botocore's validator checks types, required members and minimum lengths only. The service also
enforces patterns, enums, maxima and ranges. This module checks all of them and reports every
problem of a request at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import botocore.session

from embedded.requests.constraints import failure, length_problems, member_path, range_problems, text_problems


@functools.cache
def service_model() -> Any:
    """Return botocore's ServiceModel of SageMaker.

    The model is several megabytes of JSON, so it is cached.
    """
    return botocore.session.get_session().get_service_model("sagemaker")


def request_problems(operation: str, request: Any) -> list[str]:
    """Return the violations of the model of `operation` in `request`, in the service's wording.

    >>> request_problems("StopProcessingJob", {})
    ["Value 'null' at 'processingJobName' failed to satisfy constraint: Member must not be null"]
    """
    shape = service_model().operation_model(operation).input_shape
    if shape is None:
        return []
    if not isinstance(request, dict):
        return [f"Value '{request}' at 'body' failed to satisfy constraint: Member must be a JSON object"]
    return list(_problems(shape, request, ""))


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    return _WALKS[shape.type_name](shape, value, path)


def _structure_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield failure(value, path, "Member must be a JSON object")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield failure("null", member_path(path, name), "Member must not be null")
    for name, member in value.items():
        if name not in shape.members:
            known = ", ".join(sorted(shape.members))
            yield failure(member, member_path(path, name), f"Member is not known: it must be one of [{known}]")
        elif member is not None:
            yield from _problems(shape.members[name], member, member_path(path, name))


def _list_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield failure(value, path, "Member must be a JSON array")
        return
    yield from length_problems(shape, value, path)
    for number, item in enumerate(value, 1):
        yield from _problems(shape.member, item, f"{path}.{number}.member")


def _map_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield failure(value, path, "Member must be a JSON object")
        return
    yield from length_problems(shape, value, path)
    for key, item in value.items():
        yield from _problems(shape.key, key, f"{path}.{key}.key")
        yield from _problems(shape.value, item, f"{path}.{key}.value")


def _string_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield failure(value, path, "Member must be a string")
        return
    yield from text_problems(shape, value, path)


def _number_problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    whole = shape.type_name in {"integer", "long"}
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        yield failure(value, path, f"Member must be {'an integer' if whole else 'a number'}")
        return
    yield from range_problems(shape, value, path)


def _boolean_problems(_shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield failure(value, path, "Member must be a boolean")


def _timestamp_problems(_shape: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield failure(value, path, "Member must be a timestamp in epoch seconds")


_WALKS = {
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
}
"""The check of each type of the model."""
