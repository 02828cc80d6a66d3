"""Estimators trained on frames get a matrix if they predict the same from it, else a frame."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

from contract.catalog.model_fields import Feature
from scoring.columns.features import FeatureBatch
from scoring.models import batch_size_factor, load_model
from scoring.models.scikit_learn.library import accepts_matrix
from tests.unit.scoring.models.loading import NAMES, batch_of, spec_of
from tests.unit.scoring.support.job_folder import REPOSITORY

BY_POSITION = [
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(StandardScaler(copy=False), PolynomialFeatures(2), LogisticRegression(max_iter=500)),
    make_pipeline(SimpleImputer(), "passthrough", MLPClassifier((5,), max_iter=20, random_state=1)),
    SVC(random_state=1),
    HistGradientBoostingClassifier(max_iter=5),
    GradientBoostingClassifier(n_estimators=5, random_state=1),
    RandomForestClassifier(5, random_state=1),
    ExtraTreesRegressor(5, random_state=1),
    KNeighborsClassifier(3),
    GaussianNB(),
    Ridge(),
]
BY_NAME = [
    make_pipeline(make_column_transformer((StandardScaler(), ["delay"]), remainder="drop"), LogisticRegression()),
    make_pipeline(FunctionTransformer(lambda frame: frame[["hour"]]), LogisticRegression()),
    make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
    VotingClassifier([("a", LogisticRegression())]),
]


@pytest.fixture(scope="module", params=["float64", "float32"])
def frame(request: pytest.FixtureRequest) -> pd.DataFrame:
    matrix = np.random.default_rng(3).normal(size=(300, len(NAMES)))
    return pd.DataFrame(matrix, columns=list(NAMES)).astype(request.param)


def named(estimator: Any) -> str:
    """Return a name without addresses of functions, so that all test processes agree on it."""
    steps = getattr(estimator, "steps", [("", estimator)])
    return "+".join(step if isinstance(step, str) else type(step).__name__ for _, step in steps)


@pytest.mark.parametrize("estimator", BY_POSITION, ids=named)
def test_a_matrix_gives_the_same_bits_as_the_frame(estimator: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    """The matrix has the frame's type and memory order."""
    estimator.fit(frame, (frame["delay"] > frame["hour"]).astype("int64"))
    assert accepts_matrix(estimator)
    method = next(name for name in ("predict_proba", "decision_function", "predict") if hasattr(estimator, name))
    kind = "double" if frame["delay"].dtype == np.float64 else "float"
    spec = spec_of("sklearn-joblib", method, features=tuple(Feature(name, kind) for name in NAMES))  # type: ignore[arg-type]
    joblib.dump(estimator, tmp_path / "model")
    loaded = load_model(spec, tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = loaded.predict(batch_of(frame))
    np.testing.assert_array_equal(found, getattr(estimator, method)(frame))


def test_a_forest_gets_row_major_and_larger_batches(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    forest = RandomForestClassifier(5, random_state=1).fit(frame, frame["delay"] > frame["hour"])
    joblib.dump(forest, tmp_path / "model.joblib")
    kind = "double" if frame["delay"].dtype == np.float64 else "float"
    features = tuple(Feature(name, kind) for name in NAMES)
    model = load_model(spec_of("sklearn-joblib", "predict", features=features), tmp_path / "model.joblib")
    monkeypatch.setattr(model, "_predict", seen.append)
    model.predict(batch_of(frame))
    assert (seen[0].flags.c_contiguous, seen[0].dtype) == (True, frame["delay"].dtype)
    assert batch_size_factor(model) == 2


@pytest.mark.parametrize("estimator", BY_NAME, ids=named)
def test_estimators_that_use_names_get_the_frame(estimator: Any, frame: pd.DataFrame) -> None:
    assert not accepts_matrix(estimator.fit(frame, (frame["delay"] > 0).astype("int64")))


def test_nulls_are_nan_in_matrix_and_frame(frame: pd.DataFrame, tmp_path: Path) -> None:
    filled = frame.astype("float64")
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(filled, (filled["delay"] > 0).astype("int64"))
    joblib.dump(estimator, tmp_path / "model")
    loaded = load_model(spec_of("sklearn-joblib", "predict_proba"), tmp_path / "model")
    holes = filled.mask(filled > 0.5)
    np.testing.assert_array_equal(loaded.predict(batch_of(holes)), estimator.predict_proba(holes))


def test_models_of_a_job_share_one_read_only_matrix() -> None:
    shared: dict[object, Any] = {}
    arrays = (pa.array([1.0, 2.0]), pa.array([3.0, None]))
    first, second = (FeatureBatch(("a", "b"), arrays, frozenset("b"), shared) for _ in range(2))
    block = first.block(np.float64)
    assert second.block(np.float64) is block
    assert block.flags.f_contiguous
    assert not block.flags.writeable
    other = FeatureBatch(("b", "a"), arrays[::-1], frozenset("b"), shared)
    np.testing.assert_array_equal(other.block(np.float64), block[:, ::-1])
    assert first.block(np.float32).dtype == np.float32
    assert first.matrix(np.float64).flags.writeable
    assert first.slice(1, 1).block(np.float64).shape == (1, 2)


def test_numeric_models_do_not_import_pandas(tmp_path: Path) -> None:
    """Its import takes a fifth of a job's start."""
    frame = pd.DataFrame({"delay": [-1.0, 0.5, 1.0, -0.5]})
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, frame["delay"] > 0)
    joblib.dump(estimator, tmp_path / "model")
    code = (
        "import sys, joblib\nfrom scoring.models import preload\npreload(['sklearn-joblib'])\n"
        f"joblib.load({str(tmp_path / 'model')!r})\nassert 'pandas' not in sys.modules\nimport pandas"
    )
    environment = {"PYTHONPATH": f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
