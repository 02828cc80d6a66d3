"""A job killed at any moment leaves only whole files, and the next attempt continues."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import DEADLINE_SECONDS, JobFolder
from tests.unit.scoring.support.mounted import mount_each
from tests.unit.scoring.support.separated import why_not_separable

KILLS = 3


@pytest.fixture(scope="module")
def booster(training: pd.DataFrame) -> xgboost.Booster:
    data = xgboost.DMatrix(training[["distance", "delay"]].astype("float64"), label=training["late"])
    return xgboost.train({"max_depth": 3, "nthread": 1}, data, num_boost_round=5)


def make_job(root: Path, booster: xgboost.Booster) -> JobFolder:
    """Return a job of twelve objects and three models: copied, JSON Lines, with quarantine."""
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


def attempt(job: JobFolder, kill_after: float | None = None) -> int | None:
    """Run the container and return its exit code.

    Kills all its processes `kill_after` seconds after the next output, unless it has ended before.
    """
    # Like the manifest of an attempt, give it only the objects that the ledger lacks.
    committed = job.committed()
    for item in job.objects:
        if all((spec.model_id, item.key) in committed for spec in job.models):
            (job.objects_folder / item.key).unlink(missing_ok=True)
    process = subprocess.Popen(
        [*job.command_prefix, sys.executable, "-m", "scoring", "--workers", "2", "--cores", "2"],
        env=job.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if kill_after is not None:
        started = time.time_ns()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while process.poll() is None and not has_written_since(job, started) and time.monotonic() < deadline:
            time.sleep(0.001)
    try:
        process.communicate(timeout=DEADLINE_SECONDS if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return process.returncode


def has_written_since(job: JobFolder, moment: int) -> bool:
    return any(path.stat().st_ctime_ns > moment for path in job.paths.predictions.rglob("*.*"))


def assert_whole(job: JobFolder, reference: dict[str, bytes]) -> set[tuple[str, str]]:
    """Check that files are whole and commits have their outputs; return the commits."""
    for commit in job.commits():
        for output in commit.outputs:
            folder = job.paths.predictions if output.kind == "predictions" else job.paths.quarantine
            content = (folder / output.key).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (output.bytes, output.sha256)
    for name, content in published(job).items():
        assert reference[name] == content, name
    return job.committed()


def test_kill_9_at_any_moment_leaves_only_whole_files(tmp_path: Path, booster: xgboost.Booster) -> None:
    whole = make_job(tmp_path / "whole", booster)
    assert attempt(whole) == 0, whole.message
    reference = published(whole)
    assert len(reference) == 12 * (3 * 2 + 1)
    for name, content in reference.items():
        if name.startswith("predictions/") and name.endswith(".parquet"):
            assert pq.ParquetFile(whole.paths.predictions.parent / name).metadata.num_rows > 0
            assert content

    job = make_job(tmp_path / "killed", booster)
    if not why_not_separable():
        # With a mount per output folder, files are copied; the bytes must be those of files that are renamed.
        job.paths.quarantine.mkdir(exist_ok=True)
        job.command_prefix = mount_each(job.paths.predictions, job.paths.quarantine, job.paths.ledger)
    moments = random.Random(20_131)
    committed: set[tuple[str, str]] = set()
    for _ in range(KILLS):
        attempt(job, kill_after=moments.uniform(0.0, 1.2))
        found = assert_whole(job, reference)
        assert found >= committed
        committed = found

    assert attempt(job) == 0, job.message
    assert published(job) == reference
