import os
import subprocess
import sys
from pathlib import Path

import ministack
import pytest
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from embedded.seams.application import application, switches
from embedded.seams.functions import (
    MinistackChangedError,
    install_function_errors,
    stop_function_workers,
)
from embedded.seams.functions.forks import ONLY_WHAT_WAS_DEPLOYED
from embedded.server.endpoint import Endpoint


def test_function_exception_keeps_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", lambda_runtime._PYTHON_WORKER_SCRIPT)
    failure = {"errorType": "NoSeats", "errorMessage": "full", "stackTrace": ["  line\n"], "requestId": "r"}

    def execute(*_arguments: object) -> dict[str, object]:
        return {"body": {"embedded-aws:function-error": failure}, "log": "before"}

    monkeypatch.setattr(lambda_svc, "_execute_function_warm", execute)
    install_function_errors()

    result = lambda_svc._execute_function_warm({}, {}, "r")
    assert (result["error"], result["body"]) == (True, failure)
    assert result["log"] == "before\n[ERROR] NoSeats: full\n  line"
    assert "type(e).__name__" in lambda_runtime._PYTHON_WORKER_SCRIPT


def test_changed_worker_script_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", "print('new')")
    with pytest.raises(MinistackChangedError):
        install_function_errors()


def test_ministack_runs_functions_in_warm_workers_of_this_interpreter() -> None:
    assert lambda_runtime._detect_runtime_binary("python3.13")[0] == sys.executable
    stop_function_workers()


def test_application_is_asgi() -> None:
    assert callable(application())


def test_ministack_reads_every_environment_variable_we_set() -> None:
    endpoint = Endpoint("https://localhost:1", Path("/ca"), "us-east-1", "123456789012", "a", "s")
    text = "".join(path.read_text() for path in Path(ministack.__path__[0]).rglob("*.py"))
    ours = switches(endpoint, Path("/root"), enforce_iam=True).keys() - endpoint.environment().keys()
    # Read by Python, the Docker client and jsii.
    ours -= {"TMPDIR", "DOCKER_HOST", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"}
    assert [name for name in sorted(ours) if f'"{name}"' not in text] == []


def test_function_imports_only_its_package_and_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "not_packaged.py").touch()
    code = f"import not_packaged, boto3\n{ONLY_WHAT_WAS_DEPLOYED}\ndel sys.modules['not_packaged']\n"
    code = f"import sys\n{code}import json, botocore\nimport not_packaged\n"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_packaged'"
