"""XGBoost's categories: those that the model stores, and codes where it stores none."""

import re
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import spec_of

KNOWN: dict[str, list[Any]] = {"string": ["b", "a", "d", "c"], "int64": [30, 10, 20, -1], "int16": [3, 1, 2, 4]}


def frame_of(known: list[Any], rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    kinds = pd.Categorical(random.choice(np.array(known), rows), categories=known)
    return pd.DataFrame({"kind": kinds, "x": random.normal(size=rows)})


def target_of(frame: pd.DataFrame) -> Any:
    return (frame["kind"].cat.codes + frame["x"] * 2 > 1).astype(int)


def spec_for(declared: str, kind: str, method: str = "predict", **fields: Any) -> ModelSpec:
    return spec_of(declared, method, features=(Feature("kind", kind), Feature("x", "double")), **fields)


def predicted(spec: ModelSpec, file: Path, kinds: list[Any]) -> Any:
    arrays = (pa.array(kinds, pa.type_for_alias(spec.features[0].type)), pa.array(np.zeros(len(kinds))))
    return load_model(spec, file).predict(FeatureBatch(("kind", "x"), arrays, frozenset({"kind"})))


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_stored_categories_are_those_of_the_wrapper(kind: str, ending: str, tmp_path: Path) -> None:
    known = KNOWN[kind]
    frame = frame_of(known)
    model = xgboost.XGBClassifier(enable_categorical=True, n_estimators=10, max_depth=3).fit(frame, target_of(frame))
    file = tmp_path / f"model.{ending}"
    model.save_model(file)
    rows = [known[2], None, known[0], known[0], known[3]]
    scored = pd.DataFrame({"kind": pd.Categorical(rows, categories=known), "x": np.zeros(len(rows))})

    np.testing.assert_array_equal(
        predicted(spec_for(f"xgboost-sklearn-{ending}", kind, "predict_proba"), file, rows), model.predict_proba(scored)
    )
    np.testing.assert_array_equal(
        predicted(spec_for(f"xgboost-{ending}", kind, "margin"), file, rows), model.predict(scored, output_margin=True)
    )
    assert len(set(model.predict_proba(scored)[:, 1])) > 2, "the category must count"


@pytest.mark.parametrize("known", [["Aachen", "Bonn", "Köln"], ["Ü1", "Ü2", "Ü3"]])
@pytest.mark.parametrize("declared", ["xgboost-sklearn-json", "xgboost-sklearn-ubj", "sklearn-joblib"])
def test_categories_that_xgboost_stores_damaged_are_refused(known: list[Any], declared: str, tmp_path: Path) -> None:
    """XGBoost stores 'Köl' for 'Köln', and bytes that are not UTF-8 for 'Ü2'."""
    frame = frame_of(known)
    model = xgboost.XGBClassifier(enable_categorical=True, n_estimators=2).fit(frame, target_of(frame))
    file = tmp_path / f"model.{declared.rsplit('-', 1)[1]}"
    if declared == "sklearn-joblib":
        joblib.dump(model, file)
    else:
        model.save_model(file)

    with pytest.raises(ModelError, match=r"wrong texts for the categories of \['kind'\].*train on whole numbers"):
        load_model(spec_for(declared, "string"), file)


@pytest.mark.parametrize("missing", [0.0, 2.0])
def test_a_number_for_missing_values_also_means_this_code(missing: float, tmp_path: Path) -> None:
    """XGBoost compares the codes, too: its wrapper does the same with the categories of training."""
    known = KNOWN["string"]
    frame = frame_of(known)
    model = xgboost.XGBRegressor(enable_categorical=True, n_estimators=10, missing=missing)
    model.fit(frame, target_of(frame)).save_model(tmp_path / "model.json")
    scored = pd.DataFrame({"kind": pd.Categorical(known, categories=known), "x": np.zeros(4)})

    spec = spec_for("xgboost-sklearn-json", "string", missing=missing)
    np.testing.assert_array_equal(predicted(spec, tmp_path / "model.json", known), model.predict(scored))


@pytest.mark.parametrize(("kind", "unknown"), [("string", "z"), ("int64", 99), ("int64", 11)])
def test_an_unknown_category_fails(kind: str, unknown: Any, tmp_path: Path) -> None:
    """XGBoost refuses it, except that it takes 11 for 20, the next larger of its categories."""
    known = KNOWN[kind]
    frame = frame_of(known)
    model = xgboost.XGBRegressor(enable_categorical=True, n_estimators=2).fit(frame, target_of(frame))
    model.save_model(tmp_path / "model.json")
    if unknown != 11:
        with pytest.raises(xgboost.core.XGBoostError, match="Found a category not in the training set"):
            model.predict(pd.DataFrame({"kind": pd.Categorical([unknown]), "x": [0.0]}))
    message = "'kind' has 1 values that are not among the 4 categories of its training"
    with pytest.raises(ValueError, match=message):
        predicted(spec_for("xgboost-sklearn-json", kind), tmp_path / "model.json", [known[0], unknown, None])


def test_codes_are_taken_as_numbers_where_the_model_stores_none(tmp_path: Path) -> None:
    frame = frame_of(KNOWN["string"])
    codes = np.column_stack([frame["kind"].cat.codes, frame["x"]])
    data = xgboost.DMatrix(codes, target_of(frame), feature_types=["c", "q"], enable_categorical=True)
    booster = xgboost.train({"max_depth": 3}, data, 10)
    booster.save_model(tmp_path / "model.json")
    spec = spec_for("xgboost-json", "int64")
    rows = [3, 0, None, 9, 1]

    found = predicted(spec, tmp_path / "model.json", rows)

    matrix = np.column_stack([np.array([3, 0, np.nan, 9, 1]), np.zeros(5)])
    np.testing.assert_array_equal(found, booster.inplace_predict(matrix))
    [note] = load_model(spec, tmp_path / "model.json").notes
    assert note.startswith("categories of ['kind'] are taken as the codes of training")


@pytest.mark.parametrize(
    ("stored", "kind", "message"),
    [
        ("texts", "int64", "'kind' is int64, its categories are texts: declare it as string"),
        ("numbers", "string", "'kind' is string, its categories are whole numbers: declare it as int64"),
        ("codes", "string", "its file has no categories for ['kind'], only codes"),
        ("none", "string", "declares ['kind'] as string, and the model takes them as numbers"),
    ],
)
def test_records_that_contradict_the_categories_are_refused(
    stored: str, kind: str, message: str, tmp_path: Path
) -> None:
    frame = frame_of(KNOWN["int64" if stored == "numbers" else "string"], rows=100)
    if stored in ("codes", "none"):
        types = ["c" if stored == "codes" else "q", "q"]
        codes = np.column_stack([frame["kind"].cat.codes, frame["x"]])
        data = xgboost.DMatrix(codes, target_of(frame), feature_types=types, enable_categorical=True)
    else:
        data = xgboost.DMatrix(frame, target_of(frame), enable_categorical=True)
    xgboost.train({}, data, 2).save_model(tmp_path / "model.json")
    with pytest.raises(ModelError, match=re.escape(message)):
        load_model(spec_for("xgboost-json", kind), tmp_path / "model.json")
