"""Set-up of the training tests, which use small data and real processes."""

from pathlib import Path

import pytest

# First, as in the scoring tests: otherwise the XGBoost loader imports XGBoost without scikit-learn.
import sklearn.base  # noqa: F401
import xgboost  # noqa: F401

from tests.unit.training.training_folder import TrainingFolder


@pytest.fixture
def job(tmp_path: Path) -> TrainingFolder:
    return TrainingFolder(tmp_path / "ml")
