"""CatBoost models predict exactly what the class that trained them predicts."""

import pickle
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest

from contract.catalog.model_fields import Feature
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import ROWS, batch_of, columns_of, matrix_of, predicted_by_threads, spec_of

FAST: dict[str, Any] = {
    "iterations": 8,
    "depth": 3,
    "thread_count": 1,
    "verbose": 0,
    "allow_writing_files": False,
    "random_seed": 1,
}
WORDS = np.array(["early", "noon", "night"])


def trained(name: str, frame: pd.DataFrame, classes: pd.Series) -> Any:
    binary = (classes > 0).astype("int64")
    both = np.column_stack([frame["distance"], frame["hour"]])
    model, target = {
        "binary": (catboost.CatBoostClassifier(**FAST), binary),
        "classes": (catboost.CatBoostClassifier(**FAST), classes),
        "words": (catboost.CatBoostClassifier(**FAST), WORDS[classes]),
        "one against all": (catboost.CatBoostClassifier(**FAST, loss_function="MultiClassOneVsAll"), classes),
        "regression": (catboost.CatBoostRegressor(**FAST), frame["distance"]),
        "poisson": (catboost.CatBoostRegressor(**FAST, loss_function="Poisson"), frame["hour"]),
        "tweedie": (
            catboost.CatBoostRegressor(**FAST, loss_function="Tweedie:variance_power=1.5"),
            frame["distance"] / 1_000,
        ),
        "uncertainty": (
            catboost.CatBoostRegressor(**FAST, loss_function="RMSEWithUncertainty"),
            frame["distance"] / 1_000,
        ),
        "truth": (catboost.CatBoostClassifier(**FAST), classes > 0),
        "several targets": (catboost.CatBoostRegressor(**FAST, loss_function="MultiRMSE"), both),
        "ranking": (catboost.CatBoostRanker(**FAST, loss_function="YetiRank"), binary),
    }[name]
    groups = {"group_id": np.arange(len(frame)) // 20} if name == "ranking" else {}
    return model.fit(frame, target, **groups)


NAMES_OF_MODELS = [
    "binary",
    "classes",
    "words",
    "one against all",
    "regression",
    "poisson",
    "tweedie",
    "uncertainty",
    "truth",
    "several targets",
    "ranking",
]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "margin"])
@pytest.mark.parametrize("name", NAMES_OF_MODELS)
def test_predictions_equal_those_of_the_training_class(
    name: str, method: str, numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    model = trained(name, numbers, classes)
    model.save_model(tmp_path / "model.cbm")
    spec = spec_of("catboost-cbm", method)
    classifier = isinstance(model, catboost.CatBoostClassifier)
    if method == "predict_proba" and not classifier:
        with pytest.raises(ModelError, match="predict_proba needs a classifier"):
            load_model(spec, tmp_path / "model.cbm")
        return

    found = columns_of(spec, load_model(spec, tmp_path / "model.cbm"), numbers)

    expected = {
        "predict": lambda: model.predict(numbers),
        "predict_proba": lambda: model.predict_proba(numbers),
        "margin": lambda: catboost.CatBoost.predict(model, numbers, prediction_type="RawFormulaVal"),
    }[method]()
    expected = np.asarray(expected).reshape(ROWS, -1)
    labels = list(model.classes_) if classifier else range(expected.shape[1])
    assert list(found) == (["prediction"] if expected.shape[1] == 1 else [f"prediction_{label}" for label in labels])
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def categorical(training: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    frame = pd.DataFrame(
        {
            "distance": training["distance"],
            "carrier": training["carrier"].fillna("none").astype(object),
            "hour": training["hour"].astype("int64"),
        }
    )
    model = catboost.CatBoostClassifier(**FAST).fit(frame, training["late"], cat_features=["carrier", "hour"])
    return model, frame


CATEGORICAL_FEATURES = (Feature("distance", "double"), Feature("carrier", "string"), Feature("hour", "int64"))


def test_categories_are_texts_and_whole_numbers(training: pd.DataFrame, tmp_path: Path) -> None:
    model, frame = categorical(training)
    model.save_model(tmp_path / "model.cbm")
    spec = spec_of("catboost-cbm", "predict_proba", features=CATEGORICAL_FEATURES)
    loaded = load_model(spec, tmp_path / "model.cbm")

    np.testing.assert_array_equal(matrix_of(spec, loaded, frame.head(200)), model.predict_proba(frame.head(200)))
    assert len({tuple(row) for row in model.predict_proba(frame.assign(distance=1.0, hour=1))}) > 1

    # Nulls of "hour" elsewhere in the object make the column floating point.
    batch = batch_of(frame.head(50))
    elsewhere = type(batch)(batch.names, batch.arrays, frozenset({"hour"}))
    np.testing.assert_array_equal(loaded.predict(elsewhere), model.predict_proba(frame.head(50)))


def test_nulls_in_categories_are_refused(training: pd.DataFrame, tmp_path: Path) -> None:
    model, frame = categorical(training)
    model.save_model(tmp_path / "model.cbm")
    spec = spec_of("catboost-cbm", features=CATEGORICAL_FEATURES)
    rows = frame.head(10).copy()
    rows.loc[3, "carrier"] = None
    with pytest.raises(ValueError, match="'carrier' is null in 1 rows, and CatBoost accepts no nulls in categories"):
        load_model(spec, tmp_path / "model.cbm").predict(batch_of(rows))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (("double", "double", "int64"), "'carrier' is double, the model takes it as a category: declare it as string"),
        (("string", "string", "int64"), "'distance' is string, the model takes it as a number"),
    ],
)
def test_records_without_the_categories_are_refused(
    features: tuple[str, ...], expected: str, training: pd.DataFrame, tmp_path: Path
) -> None:
    model, frame = categorical(training)
    model.save_model(tmp_path / "model.cbm")
    declared = tuple(Feature(name, kind) for name, kind in zip(frame.columns, features, strict=True))
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("catboost-cbm", features=declared), tmp_path / "model.cbm")


def test_wrong_names_and_files_are_refused(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    model = trained("binary", numbers, classes)
    model.save_model(tmp_path / "model.cbm")
    reversed_ = tuple(Feature(name, "double") for name in reversed(numbers.columns))
    with pytest.raises(ModelError, match="position 0 is 'hour' in the record"):
        load_model(spec_of("catboost-cbm", features=reversed_), tmp_path / "model.cbm")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match=r"is a pickle: load it with the CatBoost that wrote it, save it"):
        load_model(spec_of("catboost-cbm"), tmp_path / "model.pkl")
    (tmp_path / "cut.cbm").write_bytes((tmp_path / "model.cbm").read_bytes()[:500])
    with pytest.raises(ModelError, match="cannot be loaded as catboost-cbm"):
        load_model(spec_of("catboost-cbm"), tmp_path / "cut.cbm")


def test_a_model_trained_on_a_matrix_uses_the_records_order(
    numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    model = catboost.CatBoostClassifier(**FAST).fit(numbers.to_numpy(), classes)
    model.save_model(tmp_path / "model.cbm")
    spec = spec_of("catboost-cbm")
    found = matrix_of(spec, load_model(spec, tmp_path / "model.cbm"), numbers)
    np.testing.assert_array_equal(found, model.predict(numbers.to_numpy()))


def test_concurrent_threads_get_equal_predictions(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    model = trained("classes", numbers, classes)
    model.save_model(tmp_path / "model.cbm")
    loaded = load_model(spec_of("catboost-cbm", "predict_proba"), tmp_path / "model.cbm")
    assert loaded.concurrent
    expected = model.predict_proba(numbers)
    assert all(np.array_equal(values, expected) for values in predicted_by_threads(loaded, numbers))
