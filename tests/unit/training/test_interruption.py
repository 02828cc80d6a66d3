"""Trainings that end by SIGTERM (a reclaimed spot instance) or SIGKILL, and resume."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import xgboost

from contract.codec import loads
from contract.training.training_spec import TrainingSpec
from tests.unit.training.training_folder import TrainingFolder, doubles, numbers_frame, wait_for
from tests.unit.warm_process import DEADLINE_SECONDS
from training.data.channel_files import find_channel
from training.data.training_data import Batch, TrainingData
from training.interruption import InterruptedTrainingError, Interruption
from training.load_check import model_spec_of
from training.trainers.xgboost_trainer import BatchIterator

ROUNDS = 40
SETTINGS = {
    "num_boost_round": str(ROUNDS),
    "checkpoint_rounds": "7",
    "subsample": "0.6",
    "colsample_bytree": "0.7",
    "colsample_bynode": "0.7",
}


def prepared(root: Path, **fields: object) -> TrainingFolder:
    job = TrainingFolder(root)
    for seed in (1, 2):
        job.add_object(f"{seed}.parquet", numbers_frame(600, seed))
    values = {"label": "three", "task": "multiclass", "metric": "logloss", "features": doubles(), "seed": 3}
    job.write_spec(**{**values, "hyperparameters": SETTINGS, **fields})
    return job


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainingFolder:
    job = prepared(tmp_path_factory.mktemp("whole") / "ml")
    job.train()
    return job


def checkpoint_rounds(job: TrainingFolder) -> list[int]:
    return [
        json.loads(path.read_bytes().partition(b"\n")[0])["rounds"] for path in sorted(job.paths.checkpoints.iterdir())
    ]


def test_an_attempt_after_sigterm_resumes_and_gives_the_same_model(
    tmp_path: Path, uninterrupted: TrainingFolder
) -> None:
    job = prepared(tmp_path / "ml")

    assert job.signalled(signal.SIGTERM, 17) == 128 + signal.SIGTERM

    assert checkpoint_rounds(job) == [14, 18], "the round that was running is kept too"
    assert job.failure.startswith("TRANSIENT: the container got SIGTERM before the training was done")
    assert "18 rounds are in a checkpoint" in job.failure
    assert list(job.paths.model.iterdir()) == [], "a partial model must not be packed"

    report = job.train()

    assert report.resumed_from == 18
    assert job.model == uninterrupted.model
    whole = uninterrupted.report
    assert (report.metrics, report.best_iteration) == (whole.metrics, whole.best_iteration)


def test_an_attempt_after_sigkill_resumes_from_a_checkpoint(tmp_path: Path, uninterrupted: TrainingFolder) -> None:
    job = prepared(tmp_path / "ml")

    assert job.signalled(signal.SIGKILL, 9) == -signal.SIGKILL
    assert checkpoint_rounds(job) == [7]
    assert job.signalled(signal.SIGKILL, 29) == -signal.SIGKILL
    assert checkpoint_rounds(job) == [21, 28]
    report = job.train()

    assert report.resumed_from == 28
    assert job.model == uninterrupted.model


def test_early_stopping_continues_its_count_after_a_resume(tmp_path: Path) -> None:
    fields = {"early_stopping_rounds": 6, "hyperparameters": {**SETTINGS, "eta": "0.6", "num_boost_round": "500"}}
    whole = prepared(tmp_path / "whole", **fields)
    expected = whole.train()
    assert expected.best_iteration is not None
    job = prepared(tmp_path / "ml", **fields)

    assert job.signalled(signal.SIGTERM, expected.best_iteration + 2) == 128 + signal.SIGTERM
    report = job.train()

    assert report.resumed_from == expected.best_iteration + 3
    assert report.best_iteration == expected.best_iteration < 100
    assert job.model == whole.model


def test_damaged_checkpoints_and_those_of_other_trainings_are_ignored(tmp_path: Path) -> None:
    settings = {**SETTINGS, "num_boost_round": "15"}
    job = prepared(tmp_path / "ml", hyperparameters=settings)
    job.train()
    model = job.model
    newest, older = sorted(job.paths.checkpoints.iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])

    report = job.train()
    assert (report.resumed_from, job.model) == (7, model)
    assert older.exists()

    job.set_hyperparameters({"max_depth": "2"})
    ended = job.run()
    assert ended.returncode == 0, job.failure
    assert job.report.resumed_from is None
    ignored = [json.loads(line) for line in ended.stdout.splitlines() if '"checkpoint_ignored"' in line]
    assert len(ignored) == 2
    assert all("another training" in event["reason"] for event in ignored)
    assert checkpoint_rounds(job) == [7, 7, 14, 14], "each training keeps its own"


def test_another_execution_and_version_resume_from_the_same_checkpoints(
    tmp_path: Path, uninterrupted: TrainingFolder
) -> None:
    job = prepared(tmp_path / "ml")
    job.signalled(signal.SIGTERM, 10)
    spec = job.paths.spec.read_text().replace("execution-1", "execution-2").replace('"v2"', '"v3"')
    job.paths.spec.write_text(spec)

    report = job.train()

    assert report.resumed_from == 11
    assert report.version == "v3"
    assert job.model == uninterrupted.model


def test_a_signal_while_xgboost_reads_data_stops_the_training(tmp_path: Path) -> None:
    """An exception inside a C callback would be lost if XGBoost did not pass it on."""
    job = prepared(tmp_path / "ml")
    spec = loads(TrainingSpec, job.paths.spec.read_bytes())
    sources = find_channel(job.paths.train, spec.dataset, spec.objects, "objects").objects
    interruption = Interruption()

    class Stopped(TrainingData):
        def batches(self) -> Iterator[Batch]:
            for batch in super().batches():
                yield batch
                os.kill(os.getpid(), signal.SIGTERM)

    dataset = Stopped(spec, model_spec_of(spec), sources, (), threads=1)
    with interruption.watch(), pytest.raises(InterruptedTrainingError, match="SIGTERM before the training was done"):
        xgboost.QuantileDMatrix(BatchIterator(dataset, interruption, held_out=False, cache_prefix=None), nthread=1)


def test_sigterm_stops_scikit_learn_at_once_without_a_model(tmp_path: Path) -> None:
    job = TrainingFolder(tmp_path / "ml")
    job.add_object("a.parquet", numbers_frame(4_000, 1))
    job.write_spec(
        trainer="sklearn",
        estimator="random_forest",
        format="sklearn-joblib",
        model_file="model.joblib",
        label="two",
        features=doubles(),
        hyperparameters={"n_estimators": "100000"},
    )
    with job.start() as process:
        wait_for(process, "training_started")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    assert job.failure.startswith("TRANSIENT: the container got SIGTERM")
    assert "starts from the beginning" in job.failure
    assert list(job.paths.model.iterdir()) == []


def test_checkpoints_get_further_apart_as_the_model_grows(tmp_path: Path) -> None:
    job = prepared(
        tmp_path / "ml", hyperparameters={"num_boost_round": "60", "checkpoint_rounds": "1", "max_depth": "2"}
    )
    ended = job.run()
    assert ended.returncode == 0, job.failure
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    rounds = [event["rounds"] for event in events if event["event"] == "checkpoint"]
    assert rounds[:19] == list(range(1, 20))
    assert rounds[19:] == [21, 23, 25, 27, 29, 32, 35, 38, 42, 46, 51, 56]
