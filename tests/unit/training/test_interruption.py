"""Training that is cut off, by SIGTERM (a spot instance taken back) or by SIGKILL, and goes on from its checkpoint."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.training.training_folder import DEADLINE_SECONDS, TrainingFolder, doubles, numbers_frame, wait_for

ROUNDS = 400
SETTINGS = {
    "num_boost_round": str(ROUNDS),
    "checkpoint_rounds": "7",
    "eta": "0.05",
    "subsample": "0.6",
    "colsample_bytree": "0.7",
    "colsample_bynode": "0.7",
}


def prepared(root: Path, **fields: object) -> TrainingFolder:
    job = TrainingFolder(root)
    for seed in (1, 2):
        job.add_object(f"{seed}.parquet", numbers_frame(1_500, seed))
    values = {"label": "three", "task": "multiclass", "metric": "logloss", "features": doubles(), "seed": 3}
    job.write_spec(**{**values, "hyperparameters": SETTINGS, **fields})
    return job


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainingFolder:
    job = prepared(tmp_path_factory.mktemp("whole") / "ml")
    job.train("--cores", "2")
    return job


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out


def checkpoint_rounds(job: TrainingFolder) -> list[int]:
    return [
        json.loads(path.read_bytes().partition(b"\n")[0])["rounds"] for path in sorted(job.paths.checkpoints.iterdir())
    ]


def test_after_sigterm_the_next_attempt_goes_on_and_gives_the_model_of_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: TrainingFolder
) -> None:
    job = prepared(tmp_path / "ml")
    with job.start("--cores", "2") as process:
        wait_for(process, "checkpoint", times=3)
        code, _ = end(process, signal.SIGTERM)

    assert code == 128 + signal.SIGTERM
    done = checkpoint_rounds(job)[-1]
    assert 21 <= done < ROUNDS
    assert job.failure.startswith("TRANSIENT: the container got SIGTERM before the training was done")
    assert f"{done} rounds are in a checkpoint" in job.failure
    assert list(job.paths.model.iterdir()) == [], "a part of a model must not be packed"

    report = job.train("--cores", "2")

    assert report.resumed_from == done
    assert job.model == uninterrupted.model
    whole = uninterrupted.report
    assert (report.metrics, report.best_iteration) == (whole.metrics, whole.best_iteration)


def test_after_sigkill_it_goes_on_from_the_newest_checkpoint(tmp_path: Path, uninterrupted: TrainingFolder) -> None:
    job = prepared(tmp_path / "ml")
    with job.start("--cores", "2") as process:
        wait_for(process, "checkpoint", times=2)
        code, _ = end(process, signal.SIGKILL)
    assert code == -signal.SIGKILL
    done = checkpoint_rounds(job)[-1]

    with job.start("--cores", "2") as process:
        wait_for(process, "checkpoint", times=2)
        assert end(process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert checkpoint_rounds(job)[-1] > done
    report = job.train("--cores", "2")

    assert report.resumed_from == checkpoint_rounds(job)[-1] or report.resumed_from > done
    assert job.model == uninterrupted.model


def test_early_stopping_goes_on_counting_where_it_was(tmp_path: Path) -> None:
    fields = {"early_stopping_rounds": 40, "hyperparameters": {**SETTINGS, "eta": "0.2", "num_boost_round": "5000"}}
    whole = prepared(tmp_path / "whole", **fields)
    expected = whole.train("--cores", "2")
    assert expected.best_iteration is not None

    job = prepared(tmp_path / "ml", **fields)
    with job.start("--cores", "2") as process:
        wait_for(process, "checkpoint", times=4)
        end(process, signal.SIGTERM)
    report = job.train("--cores", "2")

    assert report.resumed_from is not None
    assert report.best_iteration == expected.best_iteration < 4_000
    assert job.model == whole.model


def test_a_checkpoint_that_was_cut_off_or_is_of_another_training_is_not_used(tmp_path: Path) -> None:
    settings = {**SETTINGS, "num_boost_round": "35"}
    job = prepared(tmp_path / "ml", hyperparameters=settings)
    job.train("--cores", "2")
    model = job.model
    newest, older = sorted(job.paths.checkpoints.iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])

    report = job.train("--cores", "2")
    assert (report.resumed_from, job.model) == (28, model)
    assert older.exists()

    job.write_spec(
        label="three",
        task="multiclass",
        metric="logloss",
        features=doubles(),
        seed=4,
        hyperparameters={**settings, "max_depth": "2"},
    )
    ended = job.run("--cores", "2")
    assert ended.returncode == 0, job.failure
    assert job.report.resumed_from is None
    ignored = [json.loads(line) for line in ended.stdout.splitlines() if '"checkpoint_ignored"' in line]
    assert len(ignored) == 2
    assert all("another training" in event["reason"] for event in ignored)


def test_another_attempt_of_the_job_may_go_on_from_the_checkpoints_of_the_one_before(
    tmp_path: Path, uninterrupted: TrainingFolder
) -> None:
    job = prepared(tmp_path / "ml")
    with job.start("--cores", "2") as process:
        wait_for(process, "checkpoint")
        end(process, signal.SIGTERM)
    spec = job.paths.spec.read_text().replace("execution-1", "execution-2").replace('"v2"', '"v3"')
    job.paths.spec.write_text(spec)

    report = job.train("--cores", "2")

    assert report.resumed_from is not None
    assert report.version == "v3"
    assert job.model == uninterrupted.model


def test_sigterm_ends_scikit_learn_at_once_and_nothing_reads_as_done(tmp_path: Path) -> None:
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
    with job.start("--cores", "2") as process:
        wait_for(process, "training_started")
        code, _ = end(process, signal.SIGTERM)

    assert code == 128 + signal.SIGTERM
    assert job.failure.startswith("TRANSIENT: the container got SIGTERM")
    assert "begins anew" in job.failure
    assert list(job.paths.model.iterdir()) == []
