"""Estimators of scikit-learn, fitted on a small frame, predict as the library itself.

`make test` has one of those that share their methods, `make fuzz` has every estimator.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils import all_estimators, get_tags
from threadpoolctl import threadpool_limits

from contract.catalog.model_fields import Feature
from scoring.models import load_model
from tests.unit.fuzzing import FUZZ_PROFILE
from tests.unit.scoring.models.loading import columns_of, spec_of

pytestmark = pytest.mark.fuzz

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.uniform(0.1, 1, size=(30, 3)), columns=["a", "b", "c"])
THREE = pd.Series(RANDOM.permutation(["x", "y", "z"] * 10))
VALUE = FRAME["a"] * 2 + FRAME["b"] + 0.1
LABELS = np.column_stack([FRAME["a"] > 0.5, FRAME["b"] > 0.5, FRAME["c"] > 0.3]).astype("int64")
VALUES = np.column_stack([VALUE, VALUE * FRAME["c"] + 1])
METHODS = ("predict", "predict_proba", "decision_function")
SMALLER: dict[str, Any] = {"n_estimators": 3, "max_iter": 5, "cv": 2, "Cs": 2, "n_components": 1, "max_n_alphas": 5}
"""Values of parameters whose defaults take long."""
ESTIMATORS = {name: found for name, found in all_estimators() if hasattr(found, "predict")}
UNSUITABLE = {
    "FixedThresholdClassifier",  # for two classes
    "TunedThresholdClassifierCV",  # for two classes
    "IsotonicRegression",  # for one feature
    "SelfTrainingClassifier",  # for targets with unlabelled rows
    "MeanShift",  # slow
    "RFECV",  # slow, and RFE is the same for prediction
    "OrthogonalMatchingPursuitCV",  # OrthogonalMatchingPursuit is the same
    "LogisticRegressionCV",  # slow, and LogisticRegression is the same
}


def built(name: str) -> Any:
    cls = ESTIMATORS[name]
    given: dict[str, Any] = {}
    inner = LinearRegression() if "Regress" in name else LogisticRegression(max_iter=5)
    names = cls.__init__.__code__.co_varnames
    if name.startswith(("Stacking", "Voting")):
        given["estimators"] = [("one", inner), ("two", type(inner)())]
    given |= {key: inner for key in ("estimator", "base_estimator") if key in names}
    if name in ("GridSearchCV", "HalvingGridSearchCV"):
        given["param_grid"] = {"C": [0.5, 1.0]}
    if name in ("RandomizedSearchCV", "HalvingRandomSearchCV"):
        given["param_distributions"] = {"C": [0.5, 1.0]}
        given |= {"n_iter": 2} if name == "RandomizedSearchCV" else {}
    if name == "LocalOutlierFactor":
        given["novelty"] = True
    if name == "Pipeline":
        given["steps"] = [("only", inner)]
    return cls(**given)


def fitted(name: str, target: Any) -> Any:
    estimator = built(name)
    known = estimator.get_params(deep=False)
    estimator.set_params(**{key: value for key, value in SMALLER.items() if key in known})
    return estimator.fit(FRAME, target)


def assert_same(estimator: Any, folder: Path) -> int:
    """Compare each method of an estimator with the columns of the loader; return how many it has."""
    file = folder / "model.joblib"
    joblib.dump(estimator, file)
    compared = 0
    for method in METHODS:
        if not hasattr(estimator, method):
            continue
        expected = getattr(estimator, method)(FRAME)
        spec = spec_of("sklearn-joblib", method, features=tuple(Feature(name, "double") for name in FRAME))
        found = columns_of(spec, load_model(spec, file), FRAME)
        expected = np.hstack(expected) if isinstance(expected, list) else np.asarray(expected).reshape(len(FRAME), -1)
        assert len(found) == expected.shape[1], list(found)
        for column, name in enumerate(found):
            if expected.dtype.kind == "f":
                # The order of a matrix in memory decides which kernel multiplies it, and so about the last bit.
                np.testing.assert_allclose(found[name], expected[:, column], rtol=1e-14, err_msg=f"{method} {name}")
            else:
                np.testing.assert_array_equal(found[name], expected[:, column], err_msg=f"{method} {name}")
        compared += 1
    return compared


def with_several_outputs() -> list[str]:
    """Return the names of the estimators that take several targets or labels."""
    found = []
    for name in sorted(set(ESTIMATORS) - UNSUITABLE):
        estimator = built(name)
        tags = get_tags(estimator)
        labels = tags.classifier_tags is not None and tags.classifier_tags.multi_label
        if (tags.target_tags.multi_output or labels) and (is_classifier(estimator) or is_regressor(estimator)):
            found.append(name)
    return found


def with_different_methods(names: Iterable[str]) -> list[str]:
    """Return the first of all estimators that share their methods; every one in `make fuzz`."""
    if settings.get_current_profile_name() == FUZZ_PROFILE:
        return sorted(names)
    found: dict[object, str] = {}
    for name in sorted(names):
        functions = [getattr(ESTIMATORS[name], method, None) for method in METHODS]
        # Methods that depend on parameters are descriptors with the function.
        found.setdefault(tuple(getattr(function, "fn", function) for function in functions), name)
    return list(found.values())


SEVERAL = with_several_outputs()
ONLY_SEVERAL = {name for name in SEVERAL if not get_tags(built(name)).target_tags.single_output}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small data is slower with several threads."""
    with threadpool_limits(1):
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", with_different_methods(set(ESTIMATORS) - UNSUITABLE - ONLY_SEVERAL))
def test_one_output(name: str, tmp_path: Path) -> None:
    estimator = built(name)
    target = THREE if is_classifier(estimator) else VALUE if is_regressor(estimator) else None
    assert assert_same(fitted(name, target), tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", with_different_methods(SEVERAL))
def test_several_outputs(name: str, tmp_path: Path) -> None:
    assert assert_same(fitted(name, LABELS if is_classifier(built(name)) else VALUES), tmp_path)
