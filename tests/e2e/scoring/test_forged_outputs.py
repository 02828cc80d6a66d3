"""A container that writes whatever it wants cannot change the output of other jobs.

The image of these jobs scores as usual and then writes forged files into its output folders. So the
tests show what S3 and `VerifyOutput` prevent, whatever the container itself prevents.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.documents.model_document import ModelDocument
from cli.stage.deployment import stack_outputs
from cli.stage.executions.execution_snapshot import Snapshot
from contract import layout
from contract.status import ExecutionStatus, FailureKind, JobStatus
from tests.e2e.stage import FEATURES, Stage, people, train_xgboost

REPOSITORY = Path(__file__).parents[3]
VICTIM, DATASET = "forged-victim", "forged"
FORGED = {
    "forger-of-past-predictions": [
        ("predictions", f"dataset={DATASET}/execution_id={VICTIM}/job_id=victim/model_id=victim/a.parquet"),
        ("predictions", f"dataset={DATASET}/model_id=victim/execution_id={VICTIM}/part-0.parquet"),
    ],
    "forger-of-a-model": [("predictions", "model_id=victim/a.parquet")],
    "forger-of-quarantine": [("quarantine", "model_id=forger-of-quarantine/a.parquet")],
    "forger-of-commits": [
        ("ledger", "1-0123456789abcdef0123456789abcdef.jsonl"),
        ("ledger", f"executions/{VICTIM}/summary.json"),
    ],
}
"""Files that each job writes, by job: the output folder and the path in it."""

PROGRAM = """
import json, subprocess, sys
from contract.container_paths import ContainerPaths

paths = ContainerPaths.from_environment()
ended = subprocess.run([sys.executable, "-m", "scoring"], check=False)
job_id = json.loads(paths.spec.read_text())["job_id"]
for folder, key in json.load(open("forged.json")).get(job_id, ()):
    path = getattr(paths, folder) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"forged")
sys.exit(ended.returncode)
"""
CODE = """
import os, pathlib

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    path = pathlib.Path(os.environ.get("FLEETSCORE_ML_ROOT", "/opt/ml"), "KEY")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"forged")
    except OSError:
        pass
    return data["age"]
"""
DOCKERFILE = """
FROM python:3.12.12-slim-bookworm
ENV PYTHONPATH=/opt/program PYTHONUNBUFFERED=1
COPY . /opt/program
WORKDIR /opt/program
ENTRYPOINT ["python", "forge.py"]
"""


@pytest.fixture(scope="module")
def forging_image(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URI of an image that forges outputs, which is not yet the stage's image."""
    folder = tmp_path_factory.mktemp("forging-image")
    shutil.copytree(REPOSITORY / "contract", folder / "contract")
    shutil.copytree(REPOSITORY / "inference_container" / "scoring", folder / "scoring")
    (folder / "forge.py").write_text(PROGRAM)
    (folder / "forged.json").write_text(json.dumps(FORGED))
    (folder / "Dockerfile").write_text(DOCKERFILE)
    stage.aws.images.register("forging:1", folder)
    return "forging:1"


@pytest.fixture(scope="module")
def victims_objects(stage: Stage) -> dict[str, str]:
    """Return the version of each object that an honest, earlier execution wrote, by key."""
    stage.put_dataset(DATASET, {"a.parquet": people(20, 1), "b.parquet": people(20, 2)})
    for model_id in ("victim", "bystander", *FORGED):
        stage.register(model_id, train_xgboost(1), dataset=DATASET)
    assert stage.run({"models": ["victim"]}, VICTIM).status == ExecutionStatus.SUCCEEDED
    return versions(stage)


@pytest.fixture(scope="module")
def attack(stage: Stage, forging_image: str, victims_objects: dict[str, str]) -> Iterator[Snapshot]:
    """Yield an execution whose containers forge outputs, all but the bystander's."""
    uri = stack_outputs(stage.client("cloudformation"), "dev", "compute", ("ImageUri",))["ImageUri"]
    stage.aws.images.tag(uri, "honest:1")
    stage.aws.images.tag(forging_image, uri)
    try:
        yield stage.run({"models": ["bystander", *FORGED]}, "forged-attack")
    finally:
        stage.aws.images.tag("honest:1", uri)
        for model_id in ("victim", "bystander", *FORGED):
            stage.catalog.set_enabled(model_id, enabled=False)


def versions(stage: Stage) -> dict[str, str]:
    pages = stage.client("s3").get_paginator("list_object_versions").paginate(Bucket=stage.deployment.results_bucket)
    return {
        entry["Key"]: entry["VersionId"] for page in pages for entry in page.get("Versions", ()) if entry["IsLatest"]
    }


def job_of(snapshot: Snapshot, job_id: str) -> Any:
    (job,) = [job for job in snapshot.jobs if job.job_id == job_id]
    return job


def test_no_object_of_an_earlier_execution_is_changed_or_added(
    stage: Stage, attack: Snapshot, victims_objects: dict[str, str]
) -> None:
    now = versions(stage)
    assert {key: now[key] for key in victims_objects} == victims_objects
    # Step Functions writes the results of a Map's children.
    owned = [layout.execution_prefix(attack.execution_id), layout.MAP_RUNS_PREFIX]
    owned += [
        layout.job_outputs_prefix(kind, DATASET, attack.execution_id, job.job_id)
        for job in attack.jobs
        for kind in ("predictions", "quarantine")
    ]
    added = {key for key in set(now) - set(victims_objects) if not key.startswith(tuple(owned))}
    # The honest job has complete predictions, so the closing of the execution points to them.
    assert added == {layout.latest_key(DATASET, "bystander")}
    outputs = stage.predictions(DATASET, "victim", VICTIM)
    assert {key: table.num_rows for key, table in outputs.items()} == {"a.parquet": 20, "b.parquet": 20}


def test_specs_and_summary_of_the_execution_cannot_be_reached(stage: Stage, attack: Snapshot) -> None:
    summary = stage.summary(attack.execution_id)
    assert (summary.status, summary.jobs_succeeded) == (ExecutionStatus.PARTLY_FAILED, 1)
    forged = [key for keys in FORGED.values() for area, key in keys if area == "ledger"]
    found = [
        key for key in stage.result_keys(layout.execution_prefix(attack.execution_id)) if key.endswith(tuple(forged))
    ]
    ledger = layout.ledger_prefix(attack.execution_id, "forger-of-commits")
    assert sorted(found) == sorted(ledger + key for key in forged)


@pytest.mark.parametrize("job_id", FORGED)
def test_a_job_with_forged_files_fails_and_its_reason_names_them(attack: Snapshot, job_id: str) -> None:
    job = job_of(attack, job_id)
    assert (job.status, job.failure_kind, job.attempt) == (JobStatus.FAILED, FailureKind.MODEL, 1)
    for area, key in FORGED[job_id]:
        assert f"{area}/{key}"[:90] in job.reason
    assert "whose code writes no files there" in job.reason


def test_code_of_a_model_cannot_change_the_output_of_an_earlier_execution(
    stage: Stage, victims_objects: dict[str, str], tmp_path: Path
) -> None:
    """In the stage's own image, which may prevent it, too: then nothing is forged."""
    folder, key = FORGED["forger-of-past-predictions"][0]
    code = CODE.replace("KEY", f"processing/output/{folder}/{key}").encode()
    with tarfile.open(tmp_path / "forger.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    stage.catalog.register(
        ModelDocument(
            model_id="forger-by-code",
            artifact=str(tmp_path / "forger.tar.gz"),
            dataset=DATASET,
            format="custom",
            model_file="code/inference.py",
            method="predict",
            custom_code=True,
            features=FEATURES,
            key_columns=("row",),
        )
    )
    try:
        snapshot = stage.run({"models": ["forger-by-code"]}, "forged-by-code")
    finally:
        stage.catalog.set_enabled("forger-by-code", enabled=False)
    now = versions(stage)
    assert {key: now[key] for key in victims_objects} == victims_objects
    prefix = layout.job_outputs_prefix("predictions", DATASET, "forged-by-code", "forger-by-code")
    if prefix + key in now:
        assert (snapshot.status, job_of(snapshot, "forger-by-code").attempt) == (ExecutionStatus.FAILED, 1)
        assert f"{folder}/{key}"[:90] in job_of(snapshot, "forger-by-code").reason


def test_an_honest_job_of_the_same_execution_succeeds(attack: Snapshot) -> None:
    assert attack.status == ExecutionStatus.PARTLY_FAILED
    assert job_of(attack, "bystander").status is JobStatus.SUCCEEDED
