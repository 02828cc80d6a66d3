"""Lambda functions in ministack's warm local workers, with errors and imports as on AWS."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from typing import Any

from embedded.requests import constraints

_FAILED = "embedded-aws:function-error"

# How ministack's worker reports an exception.
_MINISTACK_REPORT = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
# The error travels as a result, because ministack drops an exception's type and ends the worker.
_REPORT = (
    '{"status": "ok", "result": {"' + _FAILED + '": {"errorMessage": str(e), "errorType": type(e).__name__, '
    '"requestId": getattr(context, "aws_request_id", ""), '
    '"stackTrace": traceback.format_tb(e.__traceback__)}}}'
)
# On AWS a function sees its package, its layers and the runtime. Without this, an editable install
# of this project in the server's environment would let it import modules that were not packaged.
_ONLY_WHAT_WAS_DEPLOYED = """
import os as _os, sys as _sys
_roots = (_sys.prefix, _sys.base_prefix, _os.path.dirname(_os.__file__))
_sys.path[:] = [p for p in _sys.path if p.startswith(_roots)]
_sys.meta_path[:] = [f for f in _sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
"""


# AWS refuses a request whose names, lengths or values its model excludes; most services of ministack accept it.
_CHECKED_REQUESTS = f"""
import importlib.util as _util
_spec = _util.spec_from_file_location("_request_constraints", {constraints.__file__!r})
_constraints = _util.module_from_spec(_spec)
_spec.loader.exec_module(_constraints)
_constraints.check_clients()
"""
_PRELUDE = _ONLY_WHAT_WAS_DEPLOYED + _CHECKED_REQUESTS


class MinistackChangedError(RuntimeError):
    """A private name of ministack is missing: its version is not the pinned one."""


def install_function_errors() -> None:
    """Report a function's exception to its caller with `errorType`, message and stack trace."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if _FAILED in script:
        return
    if script.count(_MINISTACK_REPORT) != 1:
        raise MinistackChangedError(
            "ministack's Python worker does not report exceptions in the expected way: install the pinned version"
        )
    lambda_runtime._PYTHON_WORKER_SCRIPT = _PRELUDE + script.replace(_MINISTACK_REPORT, _REPORT)
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
    """Stop all worker processes and remove their folders."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()


def install_lambda_actions() -> None:
    """Authorize GetLayerVersionByArn and GetAccountSettings as Lambda does.

    ministack authorizes the first as a listing of all layers, and does not authorize the second.
    """
    from ministack.core import iam_actions

    ministack_action, ministack_arn = iam_actions.extract_iam_action, iam_actions.extract_resource_arn

    def layer_arn(service: str, query: Any) -> str:
        found = query.get("Arn", "") if service == "lambda" and "find" in query else ""
        return str(found[0] if isinstance(found, list) else found)

    def extract_iam_action(service: str, method: str, path: str, *rest: Any) -> Any:
        if service == "lambda" and path.rstrip("/").endswith("/account-settings"):
            return "lambda:GetAccountSettings"
        if layer_arn(service, rest[-1]):
            return "lambda:GetLayerVersion"
        return ministack_action(service, method, path, *rest)

    def extract_resource_arn(service: str, *arguments: Any) -> Any:
        query = arguments[4]
        return layer_arn(service, query) or ministack_arn(service, *arguments)

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
