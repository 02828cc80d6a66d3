"""Each assumption that a job does not confirm is found.

The base is what the inspection really prints here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.doctor.findings import Level
from cli.doctor.job.assumptions import assumption_findings
from cli.doctor.job.inspection import EMPTY_KEY, NESTED_KEY, Inspected, new_execution_id
from cli.doctor.job.training_inspection import training_findings

ROOT = Path(__file__).parents[4]
PREFIX = "executions/doctor-1/jobs/inspection/data/"
OUTPUTS = "executions/doctor-1/jobs/inspection/ledger/"


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Inspected:
    """Return a job with the report of the container's own code."""
    root = tmp_path_factory.mktemp("ml")
    for name in (f"data/{NESTED_KEY}", f"data/{EMPTY_KEY}", "spec/job.json", "snapshot/objects.jsonl"):
        path = root / "processing/input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for output in ("ledger", "plain"):
        (root / "processing/output" / output).mkdir(parents=True)
    environment = {
        "PYTHONPATH": str(ROOT / "inference_container"),
        "FLEETSCORE_ML_ROOT": str(root),
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "launcher", "inspect"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads((root / "processing/output/plain/report.json").read_text()) == json.loads(done.stdout)
    message = (root / "output/message").read_text()
    report = json.loads(done.stdout)
    # The tests' user and machine are not the container's.
    report |= {"user": {"uid": 0}, "other_user": "65530", "network": ["lo"], "devices": []}
    report["status"] = {"CapEff": "00000000a80425fb"}
    # The machine of the tests may have a full disk.
    report["space"] = {place: space and {**space, "free": space["total"]} for place, space in report["space"].items()}
    return Inspected(
        name="dev-doctor-1",
        description={"ProcessingJobStatus": "Completed", "ExitMessage": message},
        prefix=PREFIX,
        outputs_prefix=OUTPUTS,
        output_keys=(f"{OUTPUTS}ledger/report.json", f"{OUTPUTS}plain/report.json"),
        checksum="CRC64NVME, FULL_OBJECT",
        report=report,
    )


def test_a_job_as_assumed_has_no_finding(inspected: Inspected) -> None:
    assert [found for found in assumption_findings(inspected, 0) if found.level is not Level.OK] == []


def test_an_address_that_ends_with_a_slash_may_lead_to_keys_with_two(inspected: Inspected) -> None:
    keys = (f"{OUTPUTS}ledger//report.json", f"{OUTPUTS}plain/report.json")
    found = {item.check: item for item in assumption_findings(replace(inspected, output_keys=keys), 0)}
    assert found["job.slash"].level is Level.OK
    assert found["job.slash"].found.endswith("if it ended with a slash: ledger//report.json")
    assert found["job.foreign"].level is Level.OK


def test_full_keys_are_accepted_too(inspected: Inspected) -> None:
    moved = with_report(lambda report: move(report, PREFIX))(inspected)
    [finding] = [found for found in assumption_findings(moved, 0) if found.check == "job.manifest"]
    assert finding.level is Level.OK
    assert finding.found == f"under their full key: {PREFIX}{NESTED_KEY}"


def move(report: dict[str, Any], folder: str) -> None:
    """Move the files below the channel into a folder."""
    beginning = "processing/input/data/"
    for entry in report["files"]:
        if entry["path"].startswith(beginning):
            entry["path"] = beginning + folder + entry["path"].removeprefix(beginning)


def with_report(change: Callable[[dict[str, Any]], None]) -> Callable[[Inspected], Inspected]:
    def changed(inspected: Inspected) -> Inspected:
        report = json.loads(json.dumps(inspected.report))
        change(report)
        return replace(inspected, report=report)

    return changed


def each_output(**values: Any) -> Callable[[Inspected], Inspected]:
    return with_report(lambda report: [output.update(values) for output in report["outputs"].values()] and None)


def described(**values: Any) -> Callable[[Inspected], Inspected]:
    return lambda inspected: replace(inspected, description={**inspected.description, **values})


FAULTS: list[tuple[str, Level, str, Callable[[Inspected], Inspected]]] = [
    (
        "job.completed", Level.ERROR, "the job is Failed: ClientError: no image",
        described(ProcessingJobStatus="Failed", FailureReason="ClientError: no image"),
    ),
    ("job.completed", Level.ERROR, "the exit message is None", described(ExitMessage=None)),
    ("job.completed", Level.ERROR, "wrote no output", lambda inspected: replace(inspected, report=None)),
    ("job.manifest", Level.ERROR, "neither relative nor", with_report(lambda report: move(report, "elsewhere/"))),
    (
        "job.empty", Level.ERROR, "it does not arrive",
        with_report(lambda report: report.update(files=[x for x in report["files"] if EMPTY_KEY not in x["path"]])),
    ),
    (
        "job.spec", Level.ERROR, "input/snapshot/objects.jsonl did not arrive",
        with_report(lambda report: report.update(files=[x for x in report["files"] if "snapshot" not in x["path"]])),
    ),
    (
        "job.slash", Level.ERROR, "expected plain/report.json, found plainreport.json",
        lambda inspected: replace(
            inspected, output_keys=(f"{OUTPUTS}ledger/report.json", f"{OUTPUTS}plainreport.json")
        ),
    ),
    (
        "job.slash", Level.ERROR, "expected plain/report.json, found nothing",
        lambda inspected: replace(inspected, output_keys=(f"{OUTPUTS}ledger/report.json",)),
    ),
    (
        "job.foreign", Level.ERROR, "SageMaker wrote ledger/_SUCCESS",
        lambda inspected: replace(inspected, output_keys=(*inspected.output_keys, f"{OUTPUTS}ledger/_SUCCESS")),
    ),
    (
        "job.checksum", Level.WARNING, "CRC32, FULL_OBJECT, not CRC64NVME, FULL_OBJECT: only the sizes",
        lambda inspected: replace(inspected, checksum="CRC32, FULL_OBJECT"),
    ),
    (
        "job.checksum", Level.WARNING, "none, not CRC64NVME, FULL_OBJECT",
        lambda inspected: replace(inspected, checksum=""),
    ),
    ("job.unfinished", Level.ERROR, "SageMaker may upload half a file", each_output(linked="OSError", renamed=False)),
    ("job.space", Level.WARNING, "less than the volume", each_output(space={"total": 1024, "free": 1024})),
    (
        "job.separation", Level.WARNING, "root lacks CAP_SETUID",
        with_report(lambda report: report.update(status={"CapEff": "000000000000006b"})),
    ),
    (
        "job.separation", Level.WARNING, "no process of another user can start: PermissionError",
        with_report(lambda report: report.update(other_user="PermissionError: not permitted")),
    ),
    (
        "job.separation", Level.WARNING, "runs as user 1000",
        with_report(lambda report: report.update(user={"uid": 1000})),
    ),
    ("job.network", Level.WARNING, "eth0", with_report(lambda report: report.update(network=["eth0", "lo"]))),
    (
        "job.devices", Level.WARNING, "closed to model code's user: nvidia0",
        with_report(
            lambda report: report.update(devices=[{"path": "nvidia0", "mode": "0o20600", "is_folder": False}])
        ),
    ),
    ("job.modes", Level.WARNING, "unknown: OSError", with_report(lambda report: report.update(files="OSError: no"))),
    ("job.mounts", Level.WARNING, "unknown: OSError", with_report(lambda report: report.update(mounts="OSError: no"))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "level", "text", "change"), FAULTS, ids=[f"{c}-{t}" for c, _, t, _ in FAULTS])
def test_each_assumption_that_does_not_hold_is_found(
    inspected: Inspected, check: str, level: Level, text: str, change: Callable[[Inspected], Inspected]
) -> None:
    bad = [found for found in assumption_findings(change(inspected), 30) if found.level is not Level.OK]
    assert any(found.check == check and found.level is level and text in found.found for found in bad), bad
    assert all(found.remedy for found in bad)


@pytest.mark.parametrize(
    ("change", "check", "level", "text"),
    [
        (lambda job: job, "", Level.OK, ""),
        (described(TrainingJobStatus="Failed", FailureReason="no"), "training.completed", Level.ERROR, "Failed: no"),
        (lambda job: replace(job, report=None), "training.completed", Level.ERROR, "without its artifact"),
        (
            with_report(lambda report: [entry.update(path="else/where") for entry in report["files"]] and None),
            "training.manifest", Level.ERROR, "neither relative nor",
        ),
        (
            with_report(lambda report: report.update(mounts="OSError: no")),
            "training.mounts", Level.WARNING, "unknown: OSError",
        ),
        (
            with_report(lambda report: report.update(other_user="PermissionError: no")),
            "training.separation", Level.WARNING, "no process of another user",
        ),
    ],
)  # fmt: skip
def test_a_training_job_is_compared_too(
    inspected: Inspected, change: Callable[[Inspected], Inspected], check: str, level: Level, text: str
) -> None:
    def in_training_folders(report: dict[str, Any]) -> None:
        for entry in report["files"]:
            entry["path"] = entry["path"].replace("processing/input/data/", "input/data/train/")

    job = with_report(in_training_folders)(described(TrainingJobStatus="Completed")(inspected))
    bad = [found for found in training_findings(change(job)) if found.level is not Level.OK]
    assert [(found.check, found.level) for found in bad] == ([(check, level)] if check else [])
    assert all(text in found.found and found.remedy for found in bad)


def test_a_mount_per_output_is_accepted(inspected: Inspected) -> None:
    found = {finding.check: finding for finding in assumption_findings(each_output(device=7)(inspected), 0)}
    assert found["job.mounts"].level is Level.OK
    assert found["job.mounts"].found.startswith("each of ledger, plain is a mount of its own")


def test_inspections_of_one_second_have_different_ids() -> None:
    """An inspection deletes everything below its id at the end."""
    assert len({new_execution_id() for _ in range(100)}) == 100
