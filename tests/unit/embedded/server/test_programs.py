"""`python -m embedded.faults` and `embedded.instances` change a running embedded AWS."""

import fcntl
import json
from pathlib import Path

import pytest

from cli.sandbox.isolation import probe
from embedded import faults, instances
from embedded.sagemaker.faults import Faults, OutputCorruption, SpotInterruption
from embedded.sagemaker.instances.settings import InstanceSettingsFile
from embedded.server.detached import STATE_FILE, detached_root
from embedded.server.endpoint import Endpoint
from embedded.server.process import LOCK_FILE, sagemaker_root


def test_without_an_embedded_aws_they_name_fleetscore_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main, arguments in ((faults.main, ["pending"]), (instances.main, ["--manifest-layout", "full-key"])):
        assert main(["--state-dir", str(tmp_path), *arguments]) == 1
        assert capsys.readouterr().err == (
            f"--state-dir {tmp_path}: no embedded AWS runs with this folder. Start one with `fleetscore up`, or work "
            "in the folder where you started it.\n"
        )


def test_they_change_the_running_embedded_aws_and_refuse_bad_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint("https://localhost:1", tmp_path / "ca.pem", "us-east-1", "123456789012", "key", "secret")
    root = detached_root(tmp_path)
    root.mkdir()
    (tmp_path / STATE_FILE).write_text(json.dumps({"pid": 1, "endpoint": json.loads(endpoint.to_json())}))
    with (root / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        here = ["--state-dir", str(tmp_path)]
        assert faults.main([*here, "interrupt-spot", "churn-*", "--times", "0"]) == 2
        assert instances.main([*here, "--manifest-layout", "other"]) == 2
        refused = capsys.readouterr().err.splitlines()
        assert refused == [
            "times: 0 is too few, expected at least 1",
            "manifest_layout: got 'other', expected 'relative' or 'full-key'",
        ]
        assert faults.main([*here, "interrupt-spot", "churn-*"]) == 0
        assert faults.main([*here, "corrupt-output", "predictions/*", "--times", "2"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "OutputCorruption(key='predictions/*')"
        assert instances.main([*here, "--manifest-layout", "full-key"]) == 0
    corruption = OutputCorruption("predictions/*")
    assert Faults(sagemaker_root(root)).pending() == [SpotInterruption("churn-*"), corruption, corruption]
    assert InstanceSettingsFile(sagemaker_root(root), probe()).read().manifest_layout == "full-key"
