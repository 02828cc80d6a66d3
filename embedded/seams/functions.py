"""How Lambda functions run: ministack's warm local workers, with errors and imports as on AWS."""

# ministack reads its switches at import, and its private names are this package's very subject.
# ruff: noqa: PLC0415, SLF001

from typing import Any

_FAILED = "embedded-aws:function-error"

_MINISTACK_REPORT = (
    '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'  # what the worker says of an exception
)
# An in-band answer instead of an error: ministack would drop the exception's type and end the worker.
_REPORT = (
    '{"status": "ok", "result": {"' + _FAILED + '": {"errorMessage": str(e), "errorType": type(e).__name__, '
    '"requestId": getattr(context, "aws_request_id", ""), '
    '"stackTrace": traceback.format_tb(e.__traceback__)}}}'
)
# On AWS a function sees its package, its layers and the runtime. An editable install of this project in the server's
# environment would let it import modules that were not packaged.
_ONLY_WHAT_WAS_DEPLOYED = """
import os as _os, sys as _sys
_roots = (_sys.prefix, _sys.base_prefix, _os.path.dirname(_os.__file__))
_sys.path[:] = [p for p in _sys.path if p.startswith(_roots)]
_sys.meta_path[:] = [f for f in _sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""


class MinistackChangedError(RuntimeError):
    """A pinned detail of ministack is not where this version of Fleetscore looks for it."""


def install_function_errors() -> None:
    """Let a function's exception reach the caller with its type, as `errorType`, message and stack trace."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if _FAILED in script:
        return
    if script.count(_MINISTACK_REPORT) != 1:
        raise MinistackChangedError("the Python worker of ministack reports exceptions in another way than expected")
    lambda_runtime._PYTHON_WORKER_SCRIPT = _ONLY_WHAT_WAS_DEPLOYED + script.replace(_MINISTACK_REPORT, _REPORT)
    ministack_execute = lambda_svc._execute_function_warm

    def execute(*arguments: Any, **named: Any) -> dict[str, Any]:
        result: dict[str, Any] = ministack_execute(*arguments, **named)
        body = result.get("body")
        if isinstance(body, dict) and _FAILED in body:
            failure = body[_FAILED]
            trace = "".join(failure["stackTrace"])
            log = f"{result.get('log', '')}\n[ERROR] {failure['errorType']}: {failure['errorMessage']}\n{trace}"
            return {"body": failure, "error": True, "log": log.strip("\n")}
        return result

    lambda_svc._execute_function_warm = execute


def stop_function_workers() -> None:
    """End all worker processes and remove their folders."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()
