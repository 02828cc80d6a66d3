"""daal4py predicts only if the record asks for it, and only if it predicts as the library does."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.problems import InvalidInputError
from scoring.columns.features import FeatureBatch
from scoring.errors import ConfigurationError, ModelError
from scoring.models import LoadedModel, load_model
from scoring.models.trees import accelerated_trees
from scoring.models.trees.accelerated_trees import TOLERANCE
from tests.unit.scoring.models.loading import NAMES, batch_of, matrix_of, spec_of
from tests.unit.scoring.support.job_folder import JobFolder

pytest.importorskip("daal4py")

XGBOOST = {
    "binary": {"objective": "binary:logistic"},
    "classes": {"objective": "multi:softprob", "num_class": 3},
    "labels": {"objective": "multi:softmax", "num_class": 3},
    "squares": {"objective": "reg:squarederror"},
    "absolute": {"objective": "reg:absoluteerror"},
}
LIGHTGBM = {
    "binary": {"objective": "binary"},
    "classes": {"objective": "multiclass", "num_class": 3},
    "squares": {"objective": "regression"},
    "absolute": {"objective": "regression_l1"},
}


@pytest.fixture(scope="module")
def frame(training: pd.DataFrame) -> pd.DataFrame:
    return training[list(NAMES)].astype("float64")


def target_of(name: str, training: pd.DataFrame) -> pd.Series:
    if name in ("squares", "absolute"):
        return training["distance"]
    return (training["hour"] // 8).astype("int64") if name in ("classes", "labels") else training["late"]


def xgboost_file(name: str, frame: pd.DataFrame, training: pd.DataFrame, folder: Path) -> Path:
    data = xgboost.DMatrix(frame, label=target_of(name, training))
    settings = {"max_depth": 5, "nthread": 1, **XGBOOST.get(name, {"objective": name})}
    xgboost.train(settings, data, num_boost_round=20).save_model(folder / "model.ubj")
    return folder / "model.ubj"


def with_predict(native: LoadedModel, predict: Callable[[FeatureBatch], Any]) -> Any:
    """Return a model like the native one with another `predict`."""
    return SimpleNamespace(outputs=native.outputs, concurrent=True, native=native.native, notes=(), predict=predict)


@pytest.mark.parametrize("name", sorted(XGBOOST))
def test_xgboost_boosters_predict_within_the_tolerance(
    name: str, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    file = xgboost_file(name, frame, training, tmp_path)
    native = load_model(spec_of("xgboost-ubj"), file)
    fast = load_model(spec_of("xgboost-ubj", accelerator="daal4py"), file)

    expected, found = (matrix_of(spec_of("xgboost-ubj"), model, frame) for model in (native, fast))

    assert fast.outputs == native.outputs
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    if name == "labels":
        np.testing.assert_array_equal(found, expected)
    assert native.notes == ()
    assert len(fast.notes) == 1
    assert fast.notes[0].startswith("predicted by daal4py 20")
    assert f"in place of xgboost {xgboost.__version__}" in fast.notes[0]


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("name", ["binary", "classes", "stopped early"])
def test_xgboost_wrappers_give_equal_labels(
    name: str, method: str, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    early = {"early_stopping_rounds": 2} if name == "stopped early" else {}
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=4, learning_rate=0.8, n_jobs=1, **early)
    target = target_of(name, training)
    model.fit(frame, target, **({"eval_set": [(frame, 1 - target)], "verbose": False} if early else {}))
    model.save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-sklearn-ubj", method, accelerator="daal4py")

    found = matrix_of(spec, load_model(spec, tmp_path / "model.ubj"), frame)

    expected = getattr(model, method)(frame).reshape(len(frame), -1)
    if method == "predict":
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_an_early_stopped_booster_predicts_with_all_its_trees(
    frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    """By default daal4py uses only the trees up to the best iteration."""
    data = xgboost.DMatrix(frame, label=training["late"])
    worse = xgboost.DMatrix(frame, label=1 - training["late"])
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    booster = xgboost.train(settings, data, 30, evals=[(worse, "worse")], early_stopping_rounds=4, verbose_eval=False)
    assert booster.best_iteration < booster.num_boosted_rounds() - 1
    booster.save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-ubj", accelerator="daal4py")
    found = matrix_of(spec, load_model(spec, tmp_path / "model.ubj"), frame)[:, 0]
    np.testing.assert_allclose(found, booster.predict(xgboost.DMatrix(frame)), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("name", sorted(LIGHTGBM))
def test_lightgbm_boosters_predict_within_the_tolerance(
    name: str, method: str, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    data = lightgbm.Dataset(frame, label=target_of(name, training))
    booster = lightgbm.train({"verbosity": -1, "num_threads": 1, **LIGHTGBM[name]}, data, 20)
    booster.save_model(tmp_path / "model.txt")
    if method == "predict_proba" and name in ("squares", "absolute"):
        return
    spec = spec_of("lightgbm-text", method, accelerator="daal4py")

    found = matrix_of(spec, load_model(spec, tmp_path / "model.txt"), frame)

    native = matrix_of(spec, load_model(spec_of("lightgbm-text", method), tmp_path / "model.txt"), frame)
    np.testing.assert_allclose(found, native, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("count:poisson", "does not predict objective 'count:poisson' as xgboost does, only"),
        ("rank:pairwise", "does not predict objective 'rank:pairwise' as xgboost does, only"),
        ("binary:logitraw", "does not predict objective 'binary:logitraw'"),
    ],
)
def test_unsupported_objectives_are_refused_on_load(
    objective: str, expected: str, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    file = xgboost_file(objective, frame, training, tmp_path)
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("xgboost-ubj", accelerator="daal4py"), file)


def test_an_image_without_the_accelerator_names_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    file = xgboost_file("binary", frame, training, tmp_path)
    monkeypatch.setitem(sys.modules, "daal4py", None)
    with pytest.raises(
        ConfigurationError, match=r"this image lacks .*: deploy the image 'trees' \(setting image_variants"
    ):
        load_model(spec_of("xgboost-ubj", accelerator="daal4py"), file)


def test_trees_that_cannot_be_converted_are_refused_on_load(
    frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    data = xgboost.DMatrix(frame, label=training["late"])
    settings = {"objective": "binary:logistic", "booster": "dart", "nthread": 1}
    xgboost.train(settings, data, 3).save_model(tmp_path / "model.ubj")
    with pytest.raises(ModelError, match=r"cannot convert its trees .* set accelerator to ''"):
        load_model(spec_of("xgboost-ubj", accelerator="daal4py"), tmp_path / "model.ubj")


def test_a_first_batch_beyond_the_tolerance_refuses_all_batches(
    monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    """oneDAL omits the exponential of Poisson, whose check this test disables."""
    file = xgboost_file("count:poisson", frame, training, tmp_path)
    known = accelerated_trees.XGBOOST_OBJECTIVES | {"count:poisson"}
    monkeypatch.setattr(accelerated_trees, "XGBOOST_OBJECTIVES", known)
    model = load_model(spec_of("xgboost-ubj", accelerator="daal4py"), file)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="numbers differ by more than 1e-05, the most in row"):
            model.predict(batch_of(frame.head(100)))


def test_differences_for_missing_values_are_found_on_a_complete_batch(
    frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    """The accelerator is wrong for missing values only, which the first batch does not have."""
    file = xgboost_file("squares", frame, training, tmp_path)
    spec = spec_of("xgboost-ubj")
    native = load_model(spec, file)

    def wrong_for_missing_values(batch: FeatureBatch) -> Any:
        values = native.predict(batch)
        missing = np.isnan(batch.matrix(np.float64)).any(axis=1)
        return np.where(missing, values + 1, values)

    full = batch_of(frame.dropna().head(300).reset_index(drop=True))
    with pytest.raises(ConfigurationError, match="numbers differ by more than 1e-05"):
        accelerated_trees.CheckedModel(spec, native, with_predict(native, wrong_for_missing_values)).predict(full)

    # If the record allows no missing values, the difference does not matter.
    required = spec_of("xgboost-ubj", features=tuple(Feature(name, "double", nullable=False) for name in NAMES))
    accelerated_trees.CheckedModel(required, native, with_predict(native, wrong_for_missing_values)).predict(full)


def test_a_differing_label_is_refused(frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(frame, training["late"])
    model.save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-sklearn-ubj")
    native = load_model(spec, tmp_path / "model.ubj")

    def one_other(batch: FeatureBatch) -> Any:
        values = native.predict(batch).copy()
        values[7] = 1 - values[7]
        return values

    with pytest.raises(ConfigurationError, match="1 of 100 labels differ"):
        accelerated_trees.CheckedModel(spec, native, with_predict(native, one_other)).predict(batch_of(frame.head(100)))


def test_concurrent_threads_get_equal_predictions(frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path) -> None:
    model = load_model(
        spec_of("xgboost-ubj", accelerator="daal4py"), xgboost_file("classes", frame, training, tmp_path)
    )
    assert model.concurrent
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.extend(model.predict(batch_of(frame)) for _ in range(5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(np.array_equal(values, found[0]) for values in found)


@pytest.mark.parametrize(
    ("declared", "fields"),
    [("sklearn-joblib", {}), ("catboost-cbm", {}), ("xgboost-ubj", {"method": "margin"}), ("onnx", {})],
)
def test_records_with_an_unsupported_accelerator_are_refused(declared: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="accelerator"):
        spec_of(declared, accelerator="daal4py", **fields)


def test_the_ledger_names_the_accelerator(
    job: JobFolder, frame: pd.DataFrame, training: pd.DataFrame, tmp_path: Path
) -> None:
    content = xgboost_file("binary", frame, training, tmp_path).read_bytes()
    features = [Feature(name, "double") for name in NAMES]
    for model_id, fields in (("plain", {}), ("fast", {"accelerator": "daal4py"})):
        job.add_model(
            model_id,
            lambda path: path.write_bytes(content),
            features=features,
            file="model.ubj",
            declared="xgboost-ubj",
            **fields,
        )
    job.add_object("a.parquet", frame)
    job.write_spec()

    job.score()

    assert job.commit("plain", "a.parquet").notes == ()
    [note] = job.commit("fast", "a.parquet").notes
    assert note.startswith("predicted by daal4py")
    native, fast = (job.output(name, "a.parquet")["prediction"].to_numpy() for name in ("plain", "fast"))
    np.testing.assert_allclose(fast, native, rtol=TOLERANCE, atol=TOLERANCE)
