"""A job killed at any moment leaves only whole files, and the next attempt continues.

`make kills` kills hundreds of times instead of a few.
"""

import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.codec import dumps
from contract.layout import OutputLayout, finished_key
from tests.unit.checksums import crc64nvme
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import DEADLINE_SECONDS, JobFolder
from tests.unit.scoring.support.mounted import mount_each
from tests.unit.scoring.support.separated import why_not_separable

KILLS = int(os.environ.get("FLEETSCORE_KILLS", "2"))
"""Number of kills per layout."""
LONGEST_WAIT = 2.0
"""Longest time from an attempt's first output to its kill, in seconds."""
SHARE_OF_STARTS = 0.2
"""Share of the kills that do not wait for an output."""
SHARE_OF_WORKERS = 0.2
"""Share of the kills that end one worker, and not the whole container."""
LARGE, SMALL = 10, 30
"""Number of objects of several row groups, and of small ones that are scored in groups."""


@pytest.fixture(scope="module")
def booster(training: pd.DataFrame) -> xgboost.Booster:
    data = xgboost.DMatrix(training[["distance", "delay"]].astype("float64"), label=training["late"])
    return xgboost.train({"max_depth": 3, "nthread": 1}, data, num_boost_round=5)


def make_job(root: Path, booster: xgboost.Booster, output_layout: OutputLayout) -> JobFolder:
    """Return a job of three models: two whose output is copied, or JSON Lines, and one with quarantine."""
    job = JobFolder(root)
    options = {"file": "model.json", "declared": "xgboost-json", "key_columns": ("flight_id",)}
    features = [Feature("distance", "double"), Feature("delay", "double")]
    strict = [features[0], Feature("delay", "double", nullable=False)]
    other = "jsonl" if output_layout == "per_model" else "parquet"
    job.add_model("copies", booster.save_model, features=features, **options)
    job.add_model("lines", booster.save_model, features=features, output_format=other, **options)
    job.add_model("some", booster.save_model, features=strict, tolerated_quarantine_fraction=0.5, **options)
    for seed in range(LARGE):
        job.add_object(f"large/{seed}.parquet", make_flights(4_000 + 1_000 * (seed % 3), seed), row_group_size=1_500)
    for seed in range(SMALL):
        job.add_object(f"small/{seed}.parquet", make_flights(100 + seed, LARGE + seed))
    spec = dataclasses.replace(job.write_spec(batch_rows=700), output_layout=output_layout)
    job.paths.spec.write_text(dumps(spec), encoding="utf-8")
    return job


def published(job: JobFolder) -> dict[str, bytes]:
    """Return the files that readers see, without incomplete copies, which a later attempt replaces."""
    return {
        name: content
        for name, content in job.files().items()
        if not name.startswith(".unfinished/") and finished_key(name) is None
    }


def give_open_objects(job: JobFolder) -> None:
    """Remove the objects that every model has committed, as the manifest of an attempt leaves them out."""
    committed = job.committed()
    for item in job.objects:
        if all((spec.model_id, item.key) in committed for spec in job.models):
            (job.objects_folder / item.key).unlink(missing_ok=True)


def start(job: JobFolder) -> subprocess.Popen[bytes]:
    give_open_objects(job)
    return subprocess.Popen(
        [*job.command_prefix, sys.executable, "-m", "scoring", "--workers", "2", "--cores", "2"],
        env=job.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def complete(job: JobFolder) -> int:
    """Run an attempt to its end, and return its exit code."""
    process = start(job)
    process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode


def kill(job: JobFolder, moments: random.Random) -> bool:
    """Start an attempt and kill it, or one of its workers, at a random moment.

    Return whether something was killed; otherwise the attempt has ended before.
    """
    started = time.time_ns()
    process = start(job)
    waits_for_output = moments.random() > SHARE_OF_STARTS
    deadline = time.monotonic() + DEADLINE_SECONDS
    while waits_for_output and process.poll() is None and not has_written_since(job, started):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    only_a_worker = moments.random() < SHARE_OF_WORKERS
    try:
        process.communicate(timeout=moments.uniform(0.0, LONGEST_WAIT))
    except subprocess.TimeoutExpired:
        is_killed = True
        if only_a_worker:
            is_killed = kill_a_worker(process.pid, moments)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_SECONDS)
        return is_killed
    return False


def kill_a_worker(session: int, moments: random.Random) -> bool:
    """Kill one process of a session that is not its first, if there is one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may have any characters.
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and int(status.parent.name) != session:
                found.append(int(status.parent.name))
    for process in moments.sample(sorted(found), len(found)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            return True
    return False


def has_written_since(job: JobFolder, moment: int) -> bool:
    with suppress(FileNotFoundError):
        return any(path.stat().st_ctime_ns > moment for path in job.paths.predictions.rglob("*.*"))
    return True


def assert_whole(job: JobFolder, reference: dict[str, bytes]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Check that files are whole and commits have their outputs.

    Return the inode and the time of each output, by model id and object key of its commit.
    """
    outputs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for commit in job.commits():
        # Each object and model is committed once: an attempt gets no object that is.
        assert (commit.model_id, commit.object) not in outputs
        outputs[commit.model_id, commit.object] = identities = []
        for output in commit.outputs:
            folder = job.paths.predictions if output.kind == "predictions" else job.paths.quarantine
            content = (folder / output.key).read_bytes()
            assert (len(content), crc64nvme(content)) == (output.bytes, output.crc64nvme)
            status = (folder / output.key).stat()
            identities.append((status.st_ino, status.st_mtime_ns))
    for name, content in published(job).items():
        assert reference[name] == content, name
    return outputs


@pytest.mark.parametrize("output_layout", ["per_model", "joined"])
def test_kill_9_at_any_moment_leaves_only_whole_files(
    tmp_path: Path, booster: xgboost.Booster, output_layout: OutputLayout
) -> None:
    whole = make_job(tmp_path / "whole", booster, output_layout)
    assert complete(whole) == 0, whole.message
    reference = published(whole)
    files_per_object = 3 if output_layout == "per_model" else 1
    assert len(reference) == (LARGE + SMALL) * (files_per_object + 1 + 3)
    for name in reference:
        if name.startswith("predictions/") and name.endswith(".parquet"):
            assert pq.ParquetFile(whole.paths.predictions.parent / name).metadata.num_rows > 0

    seed = random.SystemRandom().randrange(1 << 32) if KILLS > 10 else 20_131
    moments, killed = random.Random(seed), 0
    for number in itertools.count():
        job = make_job(tmp_path / f"killed-{number}", booster, output_layout)
        if not why_not_separable() and number % 2 == 0:
            # With a mount per output folder, files are copied; the bytes must be those of files that are renamed.
            job.command_prefix = mount_each(job.paths.predictions, job.paths.quarantine, job.paths.ledger)
        committed: dict[tuple[str, str], list[tuple[int, int]]] = {}
        while len(committed) < 3 * (LARGE + SMALL) and killed < KILLS:
            killed += kill(job, moments)
            found = assert_whole(job, reference)
            # No later attempt has touched what was committed.
            assert {pair: found.get(pair) for pair in committed} == committed, f"seed {seed}"
            committed = found
        if len(committed) < 3 * (LARGE + SMALL):
            assert complete(job) == 0, job.message
        assert_whole(job, reference)
        assert published(job) == reference, f"seed {seed}"
        if killed == KILLS:
            break
    print(f"{killed} kills of {number + 1} jobs, layout {output_layout}, seed {seed}")
