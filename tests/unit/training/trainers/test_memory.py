"""Trainings that need more memory than there is."""

from pathlib import Path

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.training.training_spec import TrainingSpec
from scoring.errors import ConfigurationError
from tests.unit.training.training_folder import doubles
from training.data.labels import LabelSummary
from training.trainers import sklearn_trainer, xgboost_trainer
from training.trainers.memory import refuse_if_too_large
from training.trainers.trainer import threads_for

GIB = 2**30


def test_a_training_that_does_not_fit_is_refused_with_a_remedy() -> None:
    refuse_if_too_large(84, "it", "none", budget=100)
    with pytest.raises(
        ConfigurationError, match=r"needs about 2\.00 GiB of memory, this instance has 0\.85 GiB for it: go"
    ):
        refuse_if_too_large(2 * GIB, "it", "go elsewhere", budget=GIB)


def spec(**fields: object) -> TrainingSpec:
    values = {
        "execution_id": "e",
        "job_id": "j",
        "model_id": "m",
        "version": "v",
        "dataset": "d",
        "trainer": "xgboost",
        "label": "y",
        "features": doubles(),
        "task": "binary",
        "method": "predict",
        "format": "xgboost-ubj",
        "model_file": "m",
        "objects": (PinnedObject("a", 1, "e"),),
        "metric": "auc",
    }
    return TrainingSpec(**{**values, **fields})  # type: ignore[arg-type]


def test_needed_memory_grows_with_columns_unless_memory_is_external() -> None:
    found = LabelSummary(800, 200, (0, 1), 0.0)
    small = xgboost_trainer.needed_bytes(spec(), found, {})
    large = xgboost_trainer.needed_bytes(spec(features=doubles("abcdef")), found, {})
    assert large - small == 1_000 * 3 * 5
    outside = {"external_memory": True}
    assert xgboost_trainer.needed_bytes(spec(), found, outside) == xgboost_trainer.needed_bytes(
        spec(features=doubles("abcdef")), found, outside
    )
    trees = spec(trainer="sklearn", estimator="random_forest", format="sklearn-joblib")
    linear = spec(trainer="sklearn", estimator="logistic_regression", format="sklearn-joblib")
    assert 1_000 * 3 * 4 < sklearn_trainer.needed_bytes(trees, found) < sklearn_trainer.needed_bytes(linear, found)


def test_small_data_gets_one_thread_and_large_data_all_cores() -> None:
    assert [threads_for(rows, 10, 8) for rows in (1, 250_000, 10_000_000)] == [1, 2, 8]


def test_bins_that_cannot_fit_on_the_disk_are_refused(tmp_path: Path) -> None:
    xgboost_trainer.refuse_without_room(spec(), LabelSummary(1_000, 10, (0, 1), 0.0), tmp_path)
    with pytest.raises(ConfigurationError, match=r"external_memory: .* \(No space left on device\): raise the job's"):
        xgboost_trainer.refuse_without_room(spec(), LabelSummary(10**18, 10, (0, 1), 0.0), tmp_path)
