"""Pickled wrappers of XGBoost, LightGBM and CatBoost: names, categories and outputs."""

from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import columns_of, matrix_of, spec_of

RANDOM = np.random.default_rng(2)
KNOWN = {"string": ["c", "a", "b"], "int64": [30, 10, 20]}
X = RANDOM.normal(size=300)
WRAPPERS: dict[str, Any] = {
    "xgboost": xgboost.XGBClassifier(n_estimators=5, enable_categorical=True),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=5, verbose=-1),
    "pipeline": make_pipeline(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)),
    "search": GridSearchCV(xgboost.XGBClassifier(enable_categorical=True), {"n_estimators": [2, 3]}, cv=2),
    "several outputs": MultiOutputClassifier(xgboost.XGBClassifier(n_estimators=3, enable_categorical=True)),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=5),
}


def spec_for(kind: str, method: str = "predict_proba") -> ModelSpec:
    return spec_of("sklearn-joblib", method, features=(Feature("kind", kind), Feature("x", "double")))


def trained(name: str, kind: str) -> tuple[Any, pd.DataFrame]:
    known = KNOWN[kind]
    frame = pd.DataFrame({"kind": pd.Categorical(RANDOM.choice(np.array(known), 300), categories=known), "x": X})
    target = (frame["kind"].cat.codes + frame["x"] > 1).astype(int)
    return WRAPPERS[name].fit(
        frame, np.column_stack([target, 1 - target]) if name == "several outputs" else target
    ), frame


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("name", WRAPPERS)
def test_categories_are_given_as_in_training(name: str, kind: str, tmp_path: Path) -> None:
    """Of the rows that are scored, the first half has only one of the categories."""
    model, frame = trained(name, kind)
    joblib.dump(model, tmp_path / "model.joblib")
    rows = frame.sort_values("kind")

    spec = spec_for(kind)
    loaded = load_model(spec, tmp_path / "model.joblib")
    plain = rows.astype({"kind": object if kind == "string" else kind})
    found = np.vstack([matrix_of(spec, loaded, plain.head(50)), matrix_of(spec, loaded, plain.tail(250))])

    expected = model.predict_proba(rows)
    expected = np.hstack(expected) if isinstance(expected, list) else expected
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_nulls_and_unknown_values_are_those_of_the_library(name: str, kind: str, tmp_path: Path) -> None:
    model, _ = trained(name, kind)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = load_model(spec_for(kind), tmp_path / "model.joblib")
    unknown: Any = "z" if kind == "string" else 99

    def predicted(values: list[Any]) -> Any:
        arrays = (pa.array(values, pa.type_for_alias(kind)), pa.array(np.zeros(len(values))))
        return loaded.predict(FeatureBatch(("kind", "x"), arrays, frozenset({"kind"})))

    def expected(values: list[Any]) -> Any:
        categories = [*KNOWN[kind], *([unknown] if unknown in values else [])]
        kinds = pd.Categorical(values, categories=categories)
        return model.predict_proba(pd.DataFrame({"kind": kinds, "x": np.zeros(len(values))}))

    np.testing.assert_array_equal(predicted([None, KNOWN[kind][1]]), expected([None, KNOWN[kind][1]]))
    if name == "lightgbm":
        np.testing.assert_array_equal(predicted([unknown, None]), expected([unknown, None]))
        return
    with pytest.raises(xgboost.core.XGBoostError, match="Found a category not in the training set"):
        expected([unknown])
    with pytest.raises(ValueError, match="'kind' has 1 values that are not among the 3 categories"):
        predicted([unknown, None])


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_texts_that_are_no_categories_are_refused(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"kind": RANDOM.normal(size=300), "x": X})
    joblib.dump(WRAPPERS[name].fit(frame, X > 0), tmp_path / "model.joblib")
    with pytest.raises(ModelError, match=r"\['kind'\]"):
        load_model(spec_for("string"), tmp_path / "model.joblib")


def test_blanks_in_names_match_lightgbms_underscores(tmp_path: Path) -> None:
    frame = pd.DataFrame({"body mass": X, "age": X[::-1]})
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(frame, X)
    joblib.dump(model, tmp_path / "model.joblib")
    spec = spec_of("sklearn-joblib", features=tuple(Feature(name, "double") for name in frame))
    found = columns_of(spec, load_model(spec, tmp_path / "model.joblib"), frame)["prediction"]
    np.testing.assert_array_equal(found, model.predict(frame))
    other = spec_of("sklearn-joblib", features=(Feature("body", "double"), Feature("age", "double")))
    with pytest.raises(ModelError, match=r"the record lacks \['body_mass'\]"):
        load_model(other, tmp_path / "model.joblib")


@pytest.mark.parametrize(
    "model",
    [
        xgboost.XGBRegressor(n_estimators=3),
        xgboost.XGBRegressor(n_estimators=3, multi_strategy="multi_output_tree"),
        xgboost.XGBClassifier(n_estimators=3),
        catboost.CatBoostRegressor(iterations=3, loss_function="MultiRMSE", verbose=0, allow_writing_files=False),
        catboost.CatBoostClassifier(iterations=3, loss_function="MultiLogloss", verbose=0, allow_writing_files=False),
    ],
    ids=lambda model: f"{type(model).__name__}-{model.get_params().get('multi_strategy')}",
)
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_several_targets(model: Any, method: str, tmp_path: Path) -> None:
    if not hasattr(model, method):
        return
    frame = pd.DataFrame({"a": X, "b": X[::-1]})
    labels = hasattr(model, "predict_proba")
    model.fit(frame, np.column_stack([X > 0, X[::-1] > 1, X > 1]).astype(int) if labels else frame.to_numpy() * 2)
    joblib.dump(model, tmp_path / "model.joblib")
    spec = spec_of("sklearn-joblib", method, features=tuple(Feature(name, "double") for name in frame))

    found = columns_of(spec, load_model(spec, tmp_path / "model.joblib"), frame)

    assert list(found) == [f"prediction_{index}" for index in range(3 if labels else 2)]
    np.testing.assert_array_equal(np.column_stack(list(found.values())), getattr(model, method)(frame))


def test_pickled_catboost_takes_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"kind": RANDOM.choice(["p", "q"], 300), "x": X})
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False, cat_features=["kind"])
    model.fit(frame, X + (frame["kind"] == "p") > 0.5)
    joblib.dump(model, tmp_path / "model.joblib")
    spec = spec_for("string")
    found = matrix_of(spec, load_model(spec, tmp_path / "model.joblib"), frame)
    np.testing.assert_array_equal(found, model.predict_proba(frame))
