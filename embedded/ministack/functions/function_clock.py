"""Injection of wrong clocks into calls of functions."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import contextvars
from typing import Any

from embedded.faults import Faults, FunctionClock
from embedded.faults import wrong_clock as wrong_clock_module
from embedded.ministack.errors import MinistackChangedError

_FIELD = "embedded-aws:clock"
_current: contextvars.ContextVar[tuple[float, float] | None] = contextvars.ContextVar("function_clock", default=None)

# Loaded in the worker at the first call with a wrong clock.
_PRELUDE = f"""
_wrong_clock = None
def _set_wrong_clock(setting):
    global _wrong_clock
    if setting and _wrong_clock is None:
        import importlib.util
        spec = importlib.util.spec_from_file_location("_wrong_clock", {wrong_clock_module.__file__!r})
        _wrong_clock = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_wrong_clock)
    if setting:
        _wrong_clock.set_clock(*setting)
    elif _wrong_clock is not None:
        _wrong_clock.reset_clock()
"""
_MINISTACK_READS = '_ms_durable = _ms_ctx.get("durable") or {}'
_READS = f"{_MINISTACK_READS}\n        _set_wrong_clock(_ms_durable.get({_FIELD!r}))"


def install_function_clocks(faults: Faults) -> None:
    """Let calls of functions have the wrong clocks that were added for them.

    Install it before the faults of calls, so that those see each call once.
    """
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_MINISTACK_READS) != 1:
        raise MinistackChangedError("ministack's Python worker reads calls in another way: install the pinned version")
    lambda_runtime._PYTHON_WORKER_SCRIPT = _PRELUDE + script.replace(_MINISTACK_READS, _READS)
    execute_warm, environment_of_call = lambda_svc._execute_function_warm, lambda_svc._durable_env_overlay

    def execute(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        config = function.get("config") or function
        name = str(config.get("FunctionName", ""))
        fault = faults.strike(FunctionClock, f"call {request_id} of {name}", lambda each: each.concerns(name))
        token = _current.set(None if fault is None else (fault.seconds, fault.rate))
        try:
            result: dict[str, Any] = execute_warm(function, event, request_id)
            return result
        finally:
            _current.reset(token)

    def environment() -> dict[str, Any]:
        setting = _current.get()
        return environment_of_call() if setting is None else {**environment_of_call(), _FIELD: setting}

    lambda_svc._execute_function_warm, lambda_svc._durable_env_overlay = execute, environment
