"""`fleetscore faults` and `python -m embedded.instances` change a running embedded AWS."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from cli.sandbox.isolation import probe
from embedded import instances
from embedded.faults import Faults, KillInstance, Throttle
from embedded.sagemaker.instances.settings import InstanceSettingsFile
from embedded.server.detached import STATE_FILE, detached_root
from embedded.server.endpoint import Endpoint
from embedded.server.process import LOCK_FILE, fault_folder, sagemaker_root


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """Return the root of a state folder that looks as if an embedded AWS runs with it."""
    endpoint = Endpoint("https://localhost:1", tmp_path / "ca.pem", "us-east-1", "123456789012", "key", "secret")
    root = detached_root(tmp_path)
    root.mkdir()
    (tmp_path / STATE_FILE).write_text(json.dumps({"pid": 1, "endpoint": json.loads(endpoint.to_json())}))
    with (root / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root


def test_without_an_embedded_aws_they_name_fleetscore_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = (
        f"--state-dir {tmp_path}: no embedded AWS runs with this folder. Start one with `fleetscore up`, or work "
        "in the folder where you started it.\n"
    )
    assert instances.main(["--state-dir", str(tmp_path), "--manifest-layout", "full-key"]) == 1
    assert capsys.readouterr().err == expected
    for words in (["list"], ["clear"], ["add", "throttle"]):
        assert main(["faults", *words, "--state-dir", str(tmp_path)]) == 1
        assert capsys.readouterr().err == f"fleetscore: {expected}"


def test_instances_changes_settings_and_refuses_bad_values(
    running: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--state-dir", str(tmp_path)]
    assert instances.main([*here, "--manifest-layout", "other"]) == 2
    assert capsys.readouterr().err == "manifest_layout: got 'other', expected 'relative' or 'full-key'\n"
    assert instances.main([*here, "--manifest-layout", "full-key"]) == 0
    assert InstanceSettingsFile(sagemaker_root(running), probe()).read().manifest_layout == "full-key"


def test_faults_are_added_listed_and_cleared(running: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*words: str) -> str:
        assert main(["faults", *words, "--state-dir", str(tmp_path)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    faults = Faults(fault_folder(running))
    assert call("list") == "No faults.\n"
    assert call("add", "throttle", "--service", "s3", "--probability", "0.5", "--seed", "3") == "throttle-1 is added.\n"
    assert json.loads(call("add", "kill-instance", "--instance", "2", "--json")) == {"id": "kill-instance-2"}
    assert faults.pending() == [Throttle(service="s3", probability=0.5, seed=3), KillInstance(instance=2)]
    faults.strike(KillInstance, "processing job a")
    shown = call("list").splitlines()
    assert shown[:2] == [
        "throttle-1: throttle --probability 0.5 --seed 3 --service s3 (pending, happened at 0 of 0 occasions)",
        "kill-instance-2: kill-instance --instance 2 (used up, happened at 1 of 1 occasions)",
    ]
    assert shown[-1].endswith("Z kill-instance-2: processing job a")
    listed = json.loads(call("list", "--json"))
    assert [(each["id"], each["times"], each["is_pending"]) for each in listed["faults"]] == [
        ("throttle-1", 0, True),
        ("kill-instance-2", 1, False),
    ]
    assert [each["place"] for each in listed["happened"]] == ["processing job a"]
    assert call("clear", "throttle-1") == "1 fault cleared.\n"
    assert call("clear") == "1 fault cleared.\n"
    assert faults.all() == []


def test_invalid_faults_are_refused_with_all_problems(
    running: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*words: str) -> str:
        assert main(["faults", *words, "--state-dir", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "count: 0 is too few, expected at least 1; skip: -1 is too few" in refusal(
        "add", "throttle", "--count", "0", "--skip", "-1"
    )
    assert "'throttle-1' is not the id of a fault" in refusal("clear", "throttle-1")
    assert "Did you mean `fleetscore faults add throttle`?" in refusal("add", "trottle")
    assert "'--cause': 'x' is not one of 'lost', 'out-of-memory'" in refusal("add", "kill-instance", "--cause", "x")
    assert not (fault_folder(running) / "rules.json").exists()
