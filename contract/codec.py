"""Convert frozen dataclasses to and from JSON, strictly: unknown, missing and ill-typed fields are
refused by name."""

import collections
import dataclasses
import enum
import functools
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from contract.control_characters import has_lone_surrogate
from contract.json_text import JsonError, dump_json, parse_json
from contract.problems import InvalidInputError, Problem

SCHEMA_VERSION = 2
SCHEMA_VERSION_FIELD = "schema_version"

MISSING_VALUE = "a value: the field is required"
"""Expectation for a required field that is missing."""

_SHOWN_CHARACTERS = 200

T = TypeVar("T")
Json = Any
"""JSON value: dict, list, str, int, float, bool or None."""
Decoder = Callable[[Json, str, list[Problem]], Any]
"""Decodes a value.

The second argument is its path in the message; problems are appended to a list.
"""

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values that are JSON as they are."""


def to_json(message: Any) -> dict[str, Json]:
    """Return a dataclass as JSON values, with the schema version of the message.

    >>> from contract.workflow.messages import JobPointer
    >>> to_json(JobPointer("nightly-1", "delays-ua", 1))
    {'schema_version': 2, 'execution_id': 'nightly-1', 'job_id': 'delays-ua', 'attempt': 1}
    """
    return {SCHEMA_VERSION_FIELD: SCHEMA_VERSION, **to_value(message)}


def dumps(message: Any) -> str:
    """Return a dataclass as JSON text. The order of fields is stable."""
    return dump_json(to_json(message), allow_nan=False)


def from_json(cls: type[T], data: Json, *, subject: str | None = None) -> T:
    """Return an instance of `cls` from JSON values.

    Raises:
        InvalidInputError: with every problem that was found, or with the schema version if it is
            another one.
    """
    name = subject or cls.__name__
    if not isinstance(data, Mapping):
        raise InvalidInputError(name, [Problem(name, data, "a JSON object")])
    version = data.get(SCHEMA_VERSION_FIELD)
    if version != SCHEMA_VERSION:
        problem = Problem(
            SCHEMA_VERSION_FIELD,
            version,
            f"{SCHEMA_VERSION}",
            "The writer and the reader of this message are of different releases: deploy all stacks and the image "
            "of one release.",
        )
        raise InvalidInputError(name, [problem])
    return from_value(cls, {key: value for key, value in data.items() if key != SCHEMA_VERSION_FIELD}, subject=name)


def from_value(cls: type[T], value: Json, *, subject: str | None = None) -> T:
    """Return an instance of `cls` from JSON values without a schema version.

    Raises:
        InvalidInputError: with every problem that was found.
    """
    problems: list[Problem] = []
    built = _decoder(typing.cast("Any", cls))(value, "", problems)
    if problems:
        raise InvalidInputError(subject or cls.__name__, problems)
    return typing.cast("T", built)


def loads(cls: type[T], text: str | bytes, *, subject: str | None = None) -> T:
    """Return an instance of `cls` from JSON text; see `from_json`.

    >>> from contract.workflow.messages import JobResult
    >>> loads(JobResult, '{"schema_version": 2, "job_id": "delays-ua"}')
    JobResult(job_id='delays-ua')
    """
    name = subject or cls.__name__
    try:
        data = parse_json(text)
    except JsonError as error:
        raise InvalidInputError(name, [Problem(name, text[:_SHOWN_CHARACTERS], f"JSON text, but {error}")]) from error
    return from_json(cls, data, subject=name)


def decode_fields(cls: type[T], data: Mapping[str, Json]) -> tuple[T | None, list[Problem]]:
    """Decode input that people write: like `from_json`, but without a schema version, and problems
    are returned. Text that cannot be encoded is refused."""
    problems = _surrogate_problems(data)
    built = _decode_dataclass(cls, data, "", problems)
    return (None if problems else typing.cast("T", built)), problems


def to_value(value: Any) -> Json:
    """Return the JSON value of a dataclass, an enum, a list or a mapping, without a schema
    version."""
    kind: type = type(value)
    if kind in _PLAIN:
        return value
    if (names := _field_names(kind)) is not None:
        return {name: item if type(item := getattr(value, name)) in _PLAIN else to_value(item) for name in names}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _PLAIN else to_value(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_value(item) for key, item in value.items()}
    return value


@functools.cache
def _field_names(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields; None for any other class."""
    return tuple(_fields(kind)) if dataclasses.is_dataclass(kind) else None


def _surrogate_problems(data: Json) -> list[Problem]:
    """Return a problem per name and text with a lone surrogate, such as "\\ud800" in JSON."""
    # One search in the whole text is quicker than one per value.
    if not has_lone_surrogate(json.dumps(data, ensure_ascii=False, default=str)):
        return []
    expected = "text without halves of surrogate pairs"
    problems: list[Problem] = []
    waiting: collections.deque[tuple[str, Json]] = collections.deque([("", data)])
    while waiting:
        path, value = waiting.popleft()
        if isinstance(value, str) and has_lone_surrogate(value):
            problems.append(Problem(path, value, expected))
        elif isinstance(value, Mapping):
            problems += [Problem(path or "name", name, expected) for name in value if has_lone_surrogate(str(name))]
            waiting.extend((f"{path}.{name}" if path else str(name), item) for name, item in value.items())
        elif isinstance(value, (list, tuple)):
            waiting.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
    return problems


class _Field(NamedTuple):
    """A field of a dataclass."""

    decode: Decoder
    scalar: type | None
    """Type of values that need no decoding."""
    is_required: bool
    has_value: bool
    """Whether its default is a value, and no function."""


@functools.cache
def _fields(cls: type) -> dict[str, _Field]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: _Field(
            decode=_decoder(hints[field.name]),
            scalar=_scalar(hints[field.name]),
            is_required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            has_value=field.default is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    }


def _scalar(expected: Any) -> type | None:
    """Return the type of JSON values that are valid as they are: `str` for `str` and `str | None`."""
    choices = [choice for choice in typing.get_args(expected) if choice is not type(None)]
    only = choices[0] if len(choices) == 1 and _is_union(expected) else expected
    return only if only in _PLAIN else None


def _is_union(expected: Any) -> bool:
    return typing.get_origin(expected) in (typing.Union, types.UnionType)


@functools.cache
def _decoder(expected: Any) -> Decoder:  # noqa: PLR0911 - one return per kind
    """Return the function that decodes values of a type.

    Looking at the type takes longer than decoding.
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if _is_union(expected):
        return functools.partial(_decode_optional, tuple(choice for choice in arguments if choice is not type(None)))
    if origin is tuple:
        return functools.partial(_decode_items, _decoder(arguments[0]), _scalar(arguments[0]))
    if origin in (dict, Mapping, typing.get_origin(Mapping[str, str])):
        return functools.partial(_decode_mapping, _decoder(arguments[1]))
    if origin is typing.Literal:
        return functools.partial(_decode_literal, arguments)
    if dataclasses.is_dataclass(expected):
        return functools.partial(_decode_dataclass, typing.cast("type", expected))
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        return functools.partial(_decode_enum, expected)
    return functools.partial(_decode_scalar, expected)


def _decode_optional(choices: tuple[Any, ...], value: Json, path: str, problems: list[Problem]) -> Any:
    if value is None:
        return None
    # Report only problems for choices of the value's own shape: a list is not a malformed object.
    alike = [choice for choice in choices if _takes(choice, value)]
    if len(alike) == 1:
        return _decoder(alike[0])(value, path, problems)
    attempts: list[Problem] = []
    for choice in alike or choices:
        found: list[Problem] = []
        decoded = _decoder(choice)(value, path, found)
        if not found:
            return decoded
        attempts.extend(found)
    problems.append(Problem(path, value, " or ".join(dict.fromkeys(problem.expected for problem in attempts))))
    return None


def _takes(expected: Any, value: Json) -> bool:
    """Tell whether values of a type have this value's shape: a list, an object or a scalar."""
    origin = typing.get_origin(expected)
    if isinstance(value, (list, tuple)):
        return origin is tuple
    is_object = dataclasses.is_dataclass(expected) or origin in (dict, Mapping, typing.get_origin(Mapping[str, str]))
    return is_object if isinstance(value, Mapping) else not is_object and origin is not tuple


def _decode_items(decode: Decoder, scalar: type | None, value: Json, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, (list, tuple)):
        problems.append(Problem(path, value, "a list"))
        return None
    if scalar is not None and all(type(item) is scalar for item in value):
        return tuple(value)
    return tuple(decode(item, f"{path}[{index}]", problems) for index, item in enumerate(value))


def _decode_mapping(decode: Decoder, value: Json, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        problems.append(Problem(path, value, "a JSON object"))
        return None
    return {key: decode(item, f"{path}.{key}", problems) for key, item in value.items()}


def _decode_literal(choices: tuple[Any, ...], value: Json, path: str, problems: list[Problem]) -> Any:
    if value not in choices:
        problems.append(Problem(path, value, "one of " + ", ".join(map(repr, choices))))
    return value


def _decode_enum(expected: type[enum.Enum], value: Json, path: str, problems: list[Problem]) -> Any:
    try:
        return expected(value)
    except ValueError:
        problems.append(Problem(path, value, "one of " + ", ".join(repr(member.value) for member in expected)))
        return None


def _decode_scalar(expected: Any, value: Json, path: str, problems: list[Problem]) -> Any:
    if expected is Any:
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        # A whole number can be larger than any float. It stays as it is, and the field's range
        # check refuses it.
        return float(value) if abs(value) <= sys.float_info.max else value
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        word = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        problems.append(Problem(path, value, word.get(expected, str(expected))))
    return value


def _decode_dataclass(cls: type, value: Json, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(path or cls.__name__, value, "a JSON object"))
        return None
    before = len(problems)
    fields = _fields(cls)
    prefix = f"{path}." if path else ""
    if not value.keys() <= fields.keys():
        known = f"Known fields: {', '.join(fields)}."
        problems.extend(
            Problem(f"{prefix}{name}", value[name], "no such field", known) for name in value if name not in fields
        )
    arguments: dict[str, Any] = {}
    missing = False
    for name, field in fields.items():
        if name not in value:
            if field.is_required:
                problems.append(Problem(f"{prefix}{name}", None, MISSING_VALUE))
                missing = True
            continue
        if type(value[name]) is field.scalar:
            arguments[name] = value[name]
            continue
        found = len(problems)
        decoded = field.decode(value[name], f"{prefix}{name}", problems)
        if len(problems) == found:
            arguments[name] = decoded
        else:
            missing = missing or not field.has_value
    if missing:
        return None
    # Build even if a field with a default was refused, so that one try reports every problem.
    try:
        built = cls(**arguments)
    except InvalidInputError as error:
        problems.extend(dataclasses.replace(problem, field=f"{prefix}{problem.field}") for problem in error.problems)
        return None
    return built if len(problems) == before else None
