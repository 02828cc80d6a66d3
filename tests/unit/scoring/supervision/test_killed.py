"""Killed at any moment, the job leaves whole files only, and the next attempt goes on from the ledger."""

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.codec import loads
from contract.job.ledger import Marker
from tests.unit.scoring.flight_data import make_flights
from tests.unit.scoring.job_folder import JobFolder

KILLS = 8


@pytest.fixture(scope="module")
def booster(training: pd.DataFrame) -> xgboost.Booster:
    data = xgboost.DMatrix(training[["distance", "delay"]].astype("float64"), label=training["late"])
    return xgboost.train({"max_depth": 3, "nthread": 1}, data, num_boost_round=5)


def make_job(root: Path, booster: xgboost.Booster) -> JobFolder:
    """Twelve objects for three models that write in three ways, one of them with rows in quarantine."""
    job = JobFolder(root)
    options = {"file": "model.json", "declared": "xgboost-json"}
    features = [Feature("distance", "double"), Feature("delay", "double")]
    strict = [features[0], Feature("delay", "double", nullable=False)]
    job.add_model("copies", booster.save_model, features=features, key_columns=("flight_id",), **options)
    job.add_model("lines", booster.save_model, features=features, output_format="jsonl", **options)
    job.add_model("some", booster.save_model, features=strict, tolerated_quarantine_fraction=0.5, **options)
    for seed in range(12):
        job.add_object(f"{seed}.parquet", make_flights(4_000 + 1_000 * (seed % 3), seed), row_group_size=1_500)
    job.write_spec(batch_rows=700)
    return job


def published(job: JobFolder) -> dict[str, bytes]:
    return {name: content for name, content in job.files().items() if not name.startswith(".unfinished/")}


def attempt(job: JobFolder, seconds: float | None) -> int | None:
    """Run the container, and kill all of it after so many seconds unless it has ended; its exit code."""
    # Only what the ledger lacks is given to an attempt, as its manifest would.
    for item in job.objects:
        if all((job.paths.ledger / spec.model_id / f"{item.key}.json").exists() for spec in job.models):
            (job.paths.data / item.key).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "scoring", "--workers", "2", "--cores", "2"],
        env=job.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        process.communicate(timeout=120 if seconds is None else seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return process.returncode


def assert_whole(job: JobFolder, undisturbed: dict[str, bytes]) -> int:
    """No half file passes for a whole one, and what a marker names is there. The number of markers."""
    markers = list(job.paths.ledger.rglob("*.json"))
    for path in markers:
        marker = loads(Marker, path.read_bytes())
        for output in marker.outputs:
            folder = job.paths.predictions if output.kind == "predictions" else job.paths.quarantine
            content = (folder / output.key).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (output.bytes, output.sha256)
    for name, content in published(job).items():
        # Another mount than the scratch folder needs a name of its own beside the target while it is copied there.
        if not name.endswith(".unfinished"):
            assert undisturbed[name] == content, name
    return len(markers)


def test_kill_9_at_any_moment_leaves_whole_files_and_the_next_attempts_give_the_same_bytes(
    tmp_path: Path, booster: xgboost.Booster
) -> None:
    whole = make_job(tmp_path / "whole", booster)
    assert attempt(whole, None) == 0, whole.message
    undisturbed = published(whole)
    assert len(undisturbed) == 12 * (3 * 2 + 1)
    for name, content in undisturbed.items():
        if name.endswith(".parquet"):
            assert pq.ParquetFile(whole.paths.predictions.parent / name).metadata.num_rows > 0
            assert content

    job = make_job(tmp_path / "killed", booster)
    moments = random.Random(20_131)
    committed = [0]
    for _ in range(KILLS):
        attempt(job, moments.uniform(0.2, 1.6))
        committed.append(assert_whole(job, undisturbed))
        assert committed[-1] >= committed[-2]

    assert attempt(job, None) == 0, job.message
    assert published(job) == undisturbed
