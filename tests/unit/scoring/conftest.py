"""Fixtures of the scoring tests: a job folder and small training data."""

from pathlib import Path

import pandas as pd
import pytest

# Imported first: the XGBoost loader imports XGBoost without scikit-learn if that is not imported
# yet, and tests compare it with the wrappers, which need scikit-learn.
import sklearn.base  # noqa: F401
import xgboost  # noqa: F401

from tests.unit.scoring.models.loading import NAMES, ROWS
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "ml")


@pytest.fixture(scope="session")
def training() -> pd.DataFrame:
    return make_flights(3_000, seed=99)


@pytest.fixture(scope="session")
def numbers(training: pd.DataFrame) -> pd.DataFrame:
    return training[list(NAMES)].astype("float64").head(ROWS)


@pytest.fixture(scope="session")
def classes(training: pd.DataFrame) -> pd.Series:
    return (training["hour"].head(ROWS) // 8).astype("int64")
