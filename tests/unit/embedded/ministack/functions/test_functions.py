import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ministack
import pytest
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.functions import (
    install_function_errors,
    stop_function_workers,
)
from embedded.ministack.functions.forks import HIDE_UNDEPLOYED_MODULES, ForkedProcess, WorkerProcesses
from embedded.ministack.http.application import application, switches
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
    code = f"import not_packaged, boto3\n{HIDE_UNDEPLOYED_MODULES}\ndel sys.modules['not_packaged']\n"
    code = f"import sys\n{code}import json, botocore\nimport not_packaged\n"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_packaged'"


@pytest.fixture
def worker_processes() -> Iterator[WorkerProcesses]:
    processes = WorkerProcesses(subprocess)
    yield processes
    processes.close()


def start_worker(processes: WorkerProcesses, folder: Path, script: str) -> ForkedProcess:
    path = folder / "worker.py"
    path.write_text(script)
    process = processes.Popen([sys.executable, str(path)], cwd=str(folder), env={"NAME": "of this function"})
    assert isinstance(process, ForkedProcess)
    return process


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="forks need Linux")
def test_worker_has_its_own_environment_folder_and_pipes(worker_processes: WorkerProcesses, tmp_path: Path) -> None:
    script = """
import os, sys
print(dict(os.environ), os.getcwd(), input(), "boto3" in sys.modules)
print("log", file=sys.stderr)
"""
    process = start_worker(worker_processes, tmp_path, script)
    process.stdin.write("event\n")
    assert process.stdout.readline() == f"{{'NAME': 'of this function'}} {tmp_path} event True\n"
    assert process.stderr.readline() == "log\n"
    process.wait(10)
    assert process.poll() is not None


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="forks need Linux")
def test_a_worker_that_is_killed_ends_alone(worker_processes: WorkerProcesses, tmp_path: Path) -> None:
    first = start_worker(worker_processes, tmp_path, "print('started', flush=True)\ninput()")
    second = start_worker(worker_processes, tmp_path, "print('started', flush=True)\nprint(input(), flush=True)")
    assert first.stdout.readline() == second.stdout.readline() == "started\n"
    first.kill()
    first.wait(10)
    second.stdin.write("still here\n")
    assert second.stdout.readline() == "still here\n"


def test_function_that_packages_a_library_gets_that_one(worker_processes: WorkerProcesses, tmp_path: Path) -> None:
    (tmp_path / "boto3").mkdir()
    process = worker_processes.Popen([sys.executable, "-c", "import sys; sys.exit(3)"], cwd=str(tmp_path), env={})
    assert process.wait(30) == 3
