"""The start of a container's command, with and without namespaces."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract.environment import ML_ROOT
from embedded.sagemaker.instances.sandbox import Abilities, Sandbox, probe

NOTHING = Abilities(own_ml_root=False, own_network=False)
SHOW = "import sys; print(sys.argv[1:], repr(sys.stdin.read()))"


def start(sandbox: Sandbox, ml_root: Path, argv: list[str], line: str) -> "subprocess.CompletedProcess[str]":
    command = sandbox.wrap(argv, ml_root, isolate_network=True)
    return subprocess.run(command, input=line, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("abilities", [NOTHING, probe()])
def test_the_command_gets_its_arguments_and_no_input(abilities: Abilities, tmp_path: Path) -> None:
    (tmp_path / "opt/ml").mkdir(parents=True)
    sandbox = Sandbox(Abilities(own_ml_root=False, own_network=abilities.own_network))
    ended = start(sandbox, tmp_path, [sys.executable, "-c", SHOW, "two words", "$HOME", "-"], "go\nmore")
    assert (ended.stdout, ended.returncode) == ("['two words', '$HOME', '-'] ''\n", 0)


def test_the_command_does_not_run_without_its_starter(tmp_path: Path) -> None:
    ended = start(Sandbox(NOTHING), tmp_path, ["touch", str(tmp_path / "ran")], "")
    assert ended.returncode == 125
    assert not (tmp_path / "ran").exists()


def test_a_variable_holds_the_path_of_a_moved_ml_root(tmp_path: Path) -> None:
    assert Sandbox(NOTHING).variables(tmp_path) == {ML_ROOT: str(tmp_path)}
    assert Sandbox(Abilities(own_ml_root=True, own_network=False)).variables(tmp_path) == {}
