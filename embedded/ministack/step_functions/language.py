"""Parts of the Amazon States Language that ministack evaluates: paths, intrinsics, JSONata."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from embedded.ministack.step_functions.tasks import TaskError

Context = dict[str, Any]
PathTokens = tuple[tuple[str, Any], ...]


@functools.lru_cache(4096)
def path_tokens(path: str) -> PathTokens | None:
    """Return a JSONPath's steps: ("field", name), ("index", n) or ("wildcard", None).

    None means that ministack cannot parse the path.
    """
    tokens = _engine()._parse_jsonpath_tokens(path)
    return None if tokens is None else tuple(tokens)


def compute_intrinsic(name: str, arguments: list[Any]) -> Any:
    """Compute an intrinsic function of evaluated arguments.

    Bad arguments raise Python's own exceptions.
    """
    return _engine()._exec_intrinsic(("call", name, [("str", argument) for argument in arguments]), None, None)


def jsonata_template(
    template: Any, raw_input: Any, context: Context, *, result: Any = None, error_output: Any = None
) -> Any:
    with _translated_errors():
        return _engine()._apply_jsonata_template(template, raw_input, context, result=result, error_output=error_output)


def jsonata_assign(
    state: dict[str, Any], raw_input: Any, context: Context, *, result: Any = None, error_output: Any = None
) -> None:
    with _translated_errors():
        _engine()._apply_state_assign(state, raw_input, context, result=result, error_output=error_output)


def jsonata_choice(state: dict[str, Any], raw_input: Any, context: Context) -> tuple[Any, str]:
    """Return the output and the next state of a Choice state in JSONata."""
    with _translated_errors():
        output, following = _engine()._execute_choice(state, raw_input, context)
        return output, following


def jsonata_error(definition: str) -> str | None:
    """Return the error of the first malformed JSONata expression; None without one."""
    problem = _engine()._validate_definition_jsonata(definition)
    return None if problem is None else str(problem)


def fail_reason(state: dict[str, Any], raw_input: Any, context: Context) -> tuple[str, str]:
    """Return the error and cause of a Fail state."""
    with _translated_errors():
        error, cause = _engine()._fail_state_error(state, raw_input, context)
        return error, cause


def read_items(reader: dict[str, Any], data: Any, context: Context) -> Any:
    """Read the items of an ItemReader whose Parameters are resolved."""
    with _translated_errors():
        return _engine()._read_map_items(reader, data, context)


def call_integration(resource: str, parameters: Any) -> Any:
    """Call an integration that ministack serves, and wait for its result.

    It cannot be interrupted.
    """
    with _translated_errors():
        return _engine()._invoke_resource(resource, parameters)


def call_with_token(
    resource: str, parameters: Any, token: str, state: dict[str, Any]
) -> tuple[Callable[[], Any], Callable[[], None]]:
    """Return a `.waitForTaskToken` call as (call, abandon).

    `call` blocks until a callback returns the token or `abandon` is called.
    """

    def call() -> Any:
        with _translated_errors():
            return _engine()._invoke_with_callback(resource, parameters, token, state)

    def abandon() -> None:
        waiting = _engine()._task_tokens.get(token)
        if waiting is not None:
            waiting["error"] = {"Error": "States.Timeout", "Cause": "The task was cancelled"}
            waiting["event"].set()

    return call, abandon


def integration_prefixes() -> list[str]:
    """Return the resource prefixes of the optimized integrations that ministack serves."""
    return list(_engine()._SERVICE_DISPATCH)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except _engine()._ExecutionError as failure:
        error, cause = str(failure.error), str(failure.cause)
        if error == "Lambda.Unknown" and "TooManyRequestsException" in cause:
            error = "Lambda.TooManyRequestsException"
        raise TaskError(error, cause) from failure


@functools.cache
def _engine() -> Any:
    from ministack.services import stepfunctions

    return stepfunctions
