"""Direct calls of linear estimators give the bits of scikit-learn, and leave the rest to it."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from contract.catalog.model_fields import Feature
from scoring.columns.features import FeatureBatch
from scoring.models.scikit_learn.direct_calls import direct_call
from scoring.models.scikit_learn.joblib_file import SklearnModel
from tests.unit.scoring.models.loading import spec_of

WIDTH = 5
_random = np.random.default_rng(7)
FRAME = pd.DataFrame(_random.normal(size=(300, WIDTH)) * [1, 10, 0.1, 1_000, 3], columns=list("abcde"))
NUMBERS = FRAME.to_numpy() @ _random.normal(size=WIDTH) + _random.normal(size=300)
BOTH = np.column_stack([NUMBERS, NUMBERS**2])
CLASSES = np.digitize(NUMBERS, np.quantile(NUMBERS, [0.3, 0.6]))
WORDS = np.array(["early", "late"])[(NUMBERS > 0).astype(int)]

KNOWN: list[tuple[Any, Any, str]] = [
    (LinearRegression(), NUMBERS, "predict"),
    (LinearRegression(), BOTH, "predict"),
    (make_pipeline(StandardScaler(), Ridge()), NUMBERS, "predict"),
    (make_pipeline(StandardScaler(with_mean=False), Lasso(alpha=0.1)), NUMBERS, "predict"),
    (make_pipeline(StandardScaler(with_std=False), StandardScaler(), ElasticNet(alpha=0.1)), NUMBERS, "predict"),
    (LogisticRegression(), NUMBERS > 0, "predict"),
    (make_pipeline(StandardScaler(), LogisticRegression()), CLASSES, "predict"),
    (make_pipeline(StandardScaler(), LogisticRegression()), WORDS, "predict"),
    (make_pipeline(StandardScaler(), LogisticRegression()), WORDS, "predict_proba"),
    (make_pipeline(StandardScaler(), LogisticRegression()), WORDS, "decision_function"),
    (make_pipeline("passthrough", LogisticRegression()), CLASSES, "decision_function"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("estimator", "target", "method"), KNOWN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("by_columns", [False, True])
def test_predictions_have_the_bits_of_scikit_learn(
    estimator: Any, target: Any, method: str, dtype: Any, by_columns: bool
) -> None:
    estimator.fit(FRAME.to_numpy(), target)
    call, sample = direct_call(estimator, method, WIDTH, dtype, by_columns=by_columns)
    assert call is not None
    for rows in (1, 7, 32, 300):
        matrix = np.array(FRAME.to_numpy()[:rows], dtype, order="F" if by_columns else "C")
        expected, before = getattr(estimator, method)(matrix), matrix.copy()
        found = call(matrix)
        np.testing.assert_array_equal(matrix, before)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert sample.shape[1:] == expected.shape[1:]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("estimator", "target", "method"), KNOWN[:6])
def test_rows_with_nan_or_infinity_are_left_to_scikit_learn(
    estimator: Any, target: Any, method: str, value: float
) -> None:
    call, _ = direct_call(estimator.fit(FRAME.to_numpy(), target), method, WIDTH, np.float64, by_columns=False)
    matrix = FRAME.to_numpy().copy()
    matrix[5, 2] = value
    assert call is not None
    assert call(matrix) is None


class OwnRegression(LinearRegression):
    """A class of a user, which may predict anything."""

    def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        return super().predict(X) * 2


class OwnScaler(StandardScaler):
    """A scaler of a user."""


def test_other_estimators_are_called() -> None:
    for estimator in (
        OwnRegression(),
        make_pipeline(MinMaxScaler(), LinearRegression()),
        make_pipeline(OwnScaler(), LinearRegression()),
    ):
        estimator.fit(FRAME.to_numpy(), NUMBERS)
        assert direct_call(estimator, "predict", WIDTH, np.float64, by_columns=False) == (None, None)


def test_a_method_that_was_replaced_in_the_object_is_called() -> None:
    estimator = LinearRegression().fit(FRAME.to_numpy(), NUMBERS)
    estimator.predict = lambda matrix: np.zeros(len(matrix))  # type: ignore[method-assign]
    assert direct_call(estimator, "predict", WIDTH, np.float64, by_columns=False) == (None, None)


def test_a_loaded_model_explains_bad_rows_as_scikit_learn_does() -> None:
    spec = spec_of("sklearn-joblib", features=tuple(Feature(name, "double") for name in FRAME))
    model = SklearnModel(spec, make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME, NUMBERS))
    batch = FeatureBatch(tuple(FRAME), tuple(pa.array([value]) for value in (1.0, None, 2.0, 3.0, 4.0)), frozenset("b"))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(batch)
