"""Injection of faults into calls of functions: crashes, time-outs and lack of memory."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from typing import Any

from embedded.faults import CrashFunction, Faults, TimeOutFunction
from embedded.faults.delivery_faults import FunctionFault


def install_function_faults(faults: Faults) -> None:
    """Let calls of functions meet the faults that were added for them.

    Install it after everything else that handles the result of a call.
    """
    from ministack.services import lambda_svc

    execute_warm = lambda_svc._execute_function_warm

    def execute(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        fault = None
        if faults.scheduled(FunctionFault):
            config = function.get("config") or function
            name = str(config.get("FunctionName", ""))
            fault = faults.strike(FunctionFault, f"call {request_id} of {name}", lambda each: each.concerns(name))
        if fault is None:
            result: dict[str, Any] = execute_warm(function, event, request_id)
            return result
        log = "" if fault.when == "before" else execute_warm(function, event, request_id).get("log", "")
        error_type, message = _error(fault, request_id, int(config.get("Timeout") or 3))
        failure = {"errorType": error_type, "errorMessage": message}
        return {"body": failure, "error": True, "log": f"{log}\n{message}".strip("\n")}

    lambda_svc._execute_function_warm = execute


def _error(fault: FunctionFault, request_id: str, timeout_seconds: int) -> tuple[str, str]:
    """Return type and message of the error, as Lambda reports them to the caller."""
    if isinstance(fault, TimeOutFunction):
        return "Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
    end = "exit status 1" if isinstance(fault, CrashFunction) else "signal: killed"
    return "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {end}"
