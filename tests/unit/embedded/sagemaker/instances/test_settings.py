"""Mounts and disks of instances, as a job sees them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import Isolation, IsolationKind, probe
from embedded import instances as command
from embedded.sagemaker.instances.settings import InstanceSettings, InstanceSettingsFile
from embedded.sagemaker.service import SageMakerService
from embedded.server import programs
from tests.unit.embedded.sagemaker.account import Aws, job_request, outputs_to, results, run, s3_input, s3_outputs

BuildImage = Callable[..., str]
NEEDS_ROOT = pytest.mark.skipif(probe().kind is not IsolationKind.ROOT, reason="mounting disks needs root on Linux")
MIB = 1 << 20

LOOK = """
import errno, shutil
def move(source, target):
    source.write_text("x")
    try:
        source.rename(target)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "moved"
seen = {
    "between outputs": move(OUTPUT / "result/a", OUTPUT / "other/a"),
    "into an output": move(OUTPUT / "b", OUTPUT / "other/b"),
    "sizes": {name: shutil.disk_usage(place).total for name, place in
              (("volume", INPUT / "data"), ("root", "/tmp"), ("home", os.environ["HOME"]), ("parent", OUTPUT))},
    "input": (INPUT / "data/x").read_text(),
}
(ML / "output/message").write_text("seen")
(OUTPUT / "result/seen.json").write_text(json.dumps(seen))
"""


def request_of(aws: Aws, image: str, prefix: str) -> dict[str, Any]:
    aws.put(f"{prefix}in/x", "input")
    outputs = s3_outputs(f"s3://{aws.bucket}/{prefix}", "result", "other", mode="Continuous")
    inputs = [s3_input("data", f"s3://{aws.bucket}/{prefix}in/")]
    return job_request(aws, image, ProcessingInputs=inputs, ProcessingOutputConfig=outputs)


def configure(tmp_path: Path, settings: InstanceSettings) -> None:
    InstanceSettingsFile(tmp_path / "sagemaker-0", probe()).set(settings)


@pytest.mark.skipif(not probe().has_namespaces, reason="this machine permits no mount namespaces")
@pytest.mark.parametrize(
    ("settings", "moving"),
    [
        (InstanceSettings(), "moved"),
        (InstanceSettings(mounts="per-path"), "EXDEV"),
        pytest.param(InstanceSettings("one", 64 * MIB, 3 * MIB), "moved", marks=NEEDS_ROOT),
        pytest.param(InstanceSettings("per-path", 64 * MIB, 3 * MIB), "EXDEV", marks=NEEDS_ROOT),
    ],
)
def test_a_job_sees_mounts_and_disks_as_set(
    service: SageMakerService,
    aws: Aws,
    prefix: str,
    build_image: BuildImage,
    *,
    tmp_path: Path,
    settings: InstanceSettings,
    moving: str,
) -> None:
    configure(tmp_path, settings)
    described = run(service, request_of(aws, build_image(LOOK), prefix))
    assert described["ProcessingJobStatus"] == "Completed", described
    assert described["ExitMessage"] == "seen"
    seen = json.loads(results(aws, prefix)["seen.json"])
    assert (seen["between outputs"], seen["into an output"]) == (moving, moving)
    assert seen["input"] == "input"
    if settings.root_disk_bytes:
        expected = {"volume": settings.volume_bytes, "root": settings.root_disk_bytes, "home": settings.root_disk_bytes}
        assert {name: seen["sizes"][name] for name in expected} == expected
        assert seen["sizes"]["parent"] == expected["root" if settings.mounts == "per-path" else "volume"]
    service.close()  # waits for the thread that deletes the disks of the ended job
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@NEEDS_ROOT
def test_a_full_volume_refuses_writes_and_downloads(
    service: SageMakerService, aws: Aws, prefix: str, build_image: BuildImage, tmp_path: Path
) -> None:
    configure(tmp_path, InstanceSettings(volume_bytes=2 * MIB))
    image = build_image("(OUTPUT / 'result/big').write_bytes(bytes(3 << 20))")
    described = run(service, job_request(aws, image, ProcessingOutputConfig=outputs_to(aws, prefix)))
    assert described["ProcessingJobStatus"] == "Failed"

    aws.put(f"{prefix}in/big", bytes(3 * MIB))
    described = run(service, request_of(aws, image, prefix))
    assert described["FailureReason"] == "ClientError: Data download failed:Insufficient disk space"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (IsolationKind.NONE, ["mounts: 'per-path' needs mount namespaces", "volume_bytes, root_disk_bytes: a size"]),
        (IsolationKind.USER, ["volume_bytes, root_disk_bytes: a size limit needs a file system of its own"]),
        (IsolationKind.ROOT, []),
    ],
)
def test_settings_that_the_machine_cannot_give_are_refused_by_name(
    tmp_path: Path, kind: IsolationKind, words: list[str]
) -> None:
    file = InstanceSettingsFile(tmp_path, Isolation(kind, "for a test"))
    settings = InstanceSettings("per-path", 64 * MIB, 3 * MIB)
    try:
        file.set(settings)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    assert bool(refused) == bool(words)
    assert all(each in refused for each in words)
    assert file.read() == (InstanceSettings() if words else settings)


def test_wrong_settings_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"mounts: got 'two'.*; volume_bytes: 5 is too few"):
        InstanceSettings(mounts="two", volume_bytes=5)  # type: ignore[arg-type]


def test_the_command_needs_a_running_embedded_aws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--state-dir", str(tmp_path)]) == 1
    assert "Start one with `fleetscore up`" in capsys.readouterr().err


def test_the_command_replaces_all_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "running_root", lambda state_dir: state_dir)
    monkeypatch.setattr(command, "probe", lambda: Isolation(IsolationKind.ROOT))
    file = InstanceSettingsFile(tmp_path / "sagemaker", Isolation(IsolationKind.ROOT))
    for words, expected in (
        (["--mounts", "per-path", "--volume-bytes", "67108864"], InstanceSettings("per-path", 64 * MIB)),
        (["--root-disk-bytes", "3145728"], InstanceSettings(root_disk_bytes=3 * MIB)),
        (
            ["--startup-seconds", "180", "--startup-waited", "0.5", "--size", "instance-type"],
            InstanceSettings(startup_seconds=180, startup_waited=0.5, size="instance-type"),
        ),
    ):
        assert command.main(["--state-dir", str(tmp_path), *words]) == 0
        assert file.read() == expected
    assert command.main(["--state-dir", str(tmp_path), "--mounts", "two"]) == 2
    assert "mounts: got 'two'" in capsys.readouterr().err
