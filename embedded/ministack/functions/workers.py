"""Lambda functions in ministack's warm local workers, with errors and imports as on AWS."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import hashlib
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.functions.forks import HIDE_UNDEPLOYED_MODULES, WorkerProcesses
from embedded.requests import constraints

_FAILED = "embedded-aws:function-error"

# How ministack's worker reports an exception.
_MINISTACK_REPORT = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
# The error is sent as a result, because ministack drops an exception's type and ends the worker.
_REPORT = (
    '{"status": "ok", "result": {"' + _FAILED + '": {"errorMessage": str(e), "errorType": type(e).__name__, '
    '"requestId": getattr(context, "aws_request_id", ""), '
    '"stackTrace": traceback.format_tb(e.__traceback__)}}}'
)
# AWS refuses requests that violate the service's model; most of ministack's services accept them.
_CHECKED_REQUESTS = f"""
import importlib.util as _util
_spec = _util.spec_from_file_location("_request_constraints", {constraints.__file__!r})
_constraints = _util.module_from_spec(_spec)
_spec.loader.exec_module(_constraints)
_constraints.check_clients()
"""
# All workers of a package run from one folder, so that its bytecode is compiled once.
_SHARED_FOLDER = """
import hashlib as _hashlib
def _shared_folder(folder):
    with open(_os.path.join(_os.path.dirname(folder), "code.zip"), "rb") as _file:
        _digest = _hashlib.file_digest(_file, "sha256").hexdigest()
    _shared = _os.path.join(_os.path.dirname(_os.path.dirname(folder)), "function-code", _digest)
    _os.makedirs(_os.path.dirname(_shared), exist_ok=True)
    # Overrides PYTHONDONTWRITEBYTECODE.
    _sys.dont_write_bytecode, _sys.pycache_prefix = False, _os.path.join(_os.path.dirname(_shared), "bytecode")
    try:
        _os.rename(folder, _shared)
    except OSError:
        if not _os.path.isdir(_shared):
            return folder
    _os.chdir(_shared)
    if _os.environ.get("LAMBDA_TASK_ROOT") == folder:
        _os.environ["LAMBDA_TASK_ROOT"] = _shared
    return _shared
"""
_MINISTACK_FOLDER = 'code_dir = init["code_dir"]'
_FOLDER = 'code_dir = _shared_folder(init["code_dir"])'
_PRELUDE = HIDE_UNDEPLOYED_MODULES + _CHECKED_REQUESTS + _SHARED_FOLDER


def install_function_errors() -> None:
    """Report a function's exception to its caller with `errorType`, message and stack trace."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if _FAILED in script:
        return
    if script.count(_MINISTACK_REPORT) != 1 or script.count(_MINISTACK_FOLDER) != 1:
        raise MinistackChangedError(
            "ministack's Python worker starts or reports exceptions in another way: install the pinned version"
        )
    script = script.replace(_MINISTACK_REPORT, _REPORT).replace(_MINISTACK_FOLDER, _FOLDER)
    lambda_runtime._PYTHON_WORKER_SCRIPT = _PRELUDE + script
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


class _PackageOnce(zipfile.ZipFile):
    """A function's package, which is not unpacked if another worker has left it in the shared folder."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        archive = Path(str(self.filename))
        if archive.name == "code.zip":
            with archive.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if (archive.parent.parent / "function-code" / digest).is_dir():
                return
        super().extractall(path, members, pwd)


def install_forked_workers() -> None:
    """Start workers of Python functions as forks of a process that has loaded their libraries."""
    from ministack.core import lambda_runtime

    lambda_runtime.subprocess = WorkerProcesses(lambda_runtime.subprocess)
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=_PackageOnce, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )


def stop_function_workers() -> None:
    """Stop all worker processes and remove their folders."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()
