"""Training tests: small data, real processes."""

from pathlib import Path

import pytest

# First of all, as in the scoring tests: the XGBoost loader imports XGBoost without scikit-learn where that is not yet.
import sklearn.base  # noqa: F401
import xgboost  # noqa: F401

from tests.unit.training.training_folder import TrainingFolder


@pytest.fixture
def job(tmp_path: Path) -> TrainingFolder:
    return TrainingFolder(tmp_path / "ml")
