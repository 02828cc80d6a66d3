"""Access of model code to the developer's machine."""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.sample_scoring import container_process
from cli.sample_scoring.container_process import isolation_notice, run_container_code
from cli.sandbox.isolation import Isolation, IsolationKind
from tests.unit.attacks import attacks, isolation_of_machine, left_files, listening

ROOT = Path(__file__).parents[4]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a secret into a profile in the home folder and into a variable."""
    value = f"token-{uuid.uuid4().hex}"
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text(f"[default]\naws_secret_access_key = {value}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GITHUB_TOKEN", value)
    monkeypatch.setenv("AWS_PROFILE", "default")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return value


def run(tmp_path: Path, code: str) -> Any:
    """Run code as code of a model runs, and return what it prints as JSON."""
    root = tmp_path / "ml"
    root.mkdir()
    (root / "code_of_a_model.py").write_text(code)
    ended = run_container_code("code_of_a_model", root=root)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("by", ["namespaces", "landlock"])
def test_code_of_a_model_gets_nothing_of_the_developers_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, secret: str, by: str
) -> None:
    isolation = isolation_of_machine(by)
    folders = [tmp_path / "home", ROOT]
    monkeypatch.setattr(container_process, "probe", lambda: isolation)
    with listening(tmp_path / "service") as service:
        code = attacks(
            secret=secret,
            secret_files=[tmp_path / "home/.aws/credentials"],
            folders=folders,
            port=port,
            service=service,
            report="print(json.dumps(got))",
        )
        assert run(tmp_path, code) == ["its own files"]
    assert left_files(folders) == []
    assert isolation_notice() == ""


def test_without_namespaces_it_gets_no_variable_and_the_developer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    isolation = Isolation(IsolationKind.NONE, "no namespaces")
    monkeypatch.setattr(container_process, "probe", lambda: isolation)
    variables = run(tmp_path, "import json, os; print(json.dumps(dict(os.environ)))")
    assert secret not in variables.values()
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["HOME"] != os.environ["HOME"]
    assert {name: value for name, value in variables.items() if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert "this machine cannot isolate it (no namespaces)" in isolation_notice()
