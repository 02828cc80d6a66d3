"""The container as a training job on spot capacity: its folders, and what it does after an interruption."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from contract.job.ledger import SegmentHeader, commit_line, segment_content
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, doubles, joblib_saver
from tests.unit.warm_process import DEADLINE_SECONDS

KEYS = ("01.parquet", "02.parquet", "03.parquet")


@pytest.fixture
def spot_job(tmp_path: Path) -> JobFolder:
    return filled(JobFolder(tmp_path / "spot", in_training_job=True))


def filled(job: JobFolder) -> JobFolder:
    training = make_flights(500, seed=9)
    model = LogisticRegression(max_iter=500).fit(training[["distance", "hour"]].to_numpy(), training["late"])
    for name in ("late", "later"):
        job.add_model(name, joblib_saver(model), features=doubles("distance", "hour"))
    for seed, key in enumerate(KEYS):
        job.add_object(key, make_flights(200, seed).astype({"hour": "float64"}))
    job.write_spec()
    return job


def scored_objects(events: list[dict[str, object]]) -> set[object]:
    return {event["object"] for event in events if event["event"] == "object_scored"}


def test_its_outputs_are_those_of_a_processing_job_below_the_checkpoints(spot_job: JobFolder, tmp_path: Path) -> None:
    spot_job.score()
    processing = filled(JobFolder(tmp_path / "processing"))
    processing.score()
    assert spot_job.paths.predictions == tmp_path / "spot/checkpoints/predictions"
    assert spot_job.files() == processing.files()
    # Nothing that SageMaker would pack as a model, and no unfinished work.
    assert not (spot_job.paths.root / "model").exists()
    found = {path.relative_to(spot_job.paths.root).parts[0] for path in spot_job.paths.root.rglob("*")}
    assert found == {"checkpoints", "input", "packing"}


def test_a_second_run_scores_nothing_that_is_committed(spot_job: JobFolder) -> None:
    spot_job.score()
    before = spot_job.files()
    segments = sorted(path.name for path in spot_job.paths.ledger.iterdir())
    events = spot_job.score()
    assert {"event": "objects_restored", "objects": 3, "left": 0}.items() <= events[0].items()
    assert scored_objects(events) == set()
    assert spot_job.files() == before
    assert sorted(path.name for path in spot_job.paths.ledger.iterdir()) == segments


def test_it_scores_again_what_was_not_restored_as_it_was_committed(spot_job: JobFolder) -> None:
    spot_job.score()
    before = spot_job.files()
    # The interruption came before one output was uploaded, and while another one was.
    spot_job.output_path("late", KEYS[0]).unlink()
    changed = spot_job.output_path("later", KEYS[1])
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    assert scored_objects(spot_job.score()) == {KEYS[0], KEYS[1]}
    assert spot_job.files() == before


def test_a_damaged_or_foreign_segment_keeps_nothing(spot_job: JobFolder) -> None:
    spot_job.score()
    before = spot_job.files()
    for path in spot_job.paths.ledger.iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    events = spot_job.score()
    assert scored_objects(events) == set(KEYS)
    assert any(event["event"] == "segment_ignored" for event in events)
    for path in list(spot_job.paths.ledger.iterdir()):
        if path.stat().st_size and path.read_bytes()[-1:] != b"\n":
            path.unlink()
    assert spot_job.files() == before


def test_a_commit_that_names_another_file_does_not_count(spot_job: JobFolder) -> None:
    spot_job.score()
    forged = [
        replace(commit, outputs=tuple(replace(each, key=f"../predictions/{each.key}") for each in commit.outputs))
        for commit in spot_job.commits()
    ]
    for path in list(spot_job.paths.ledger.iterdir()):
        path.unlink()
    header = SegmentHeader("execution-1", "job-1", {"late": "v1", "later": "v1"})
    name, content = segment_content(header, [commit_line(commit) for commit in forged])
    (spot_job.paths.ledger / name).write_bytes(content)
    assert scored_objects(spot_job.score()) == set(KEYS)


def test_a_failure_is_written_where_a_training_job_has_it(spot_job: JobFolder) -> None:
    spot_job.paths.snapshot.unlink()
    ended = spot_job.run()
    assert ended.returncode == 1
    failure = (spot_job.paths.root / "output" / "failure").read_text(encoding="utf-8")
    assert failure.startswith("CONFIGURATION: the snapshot cannot be read")


def test_the_image_scores_with_the_argument_train_if_the_environment_says_so(spot_job: JobFolder) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "launcher", "train"],
        env=spot_job.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, spot_job.message + ended.stderr
    assert scored_objects([json.loads(line) for line in ended.stdout.splitlines()]) == set(KEYS)
