"""Loaders predict as the model's library, and refuse models that contradict their record."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.base import clone
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import SVC

from contract.catalog.model_fields import Feature
from contract.codec import dumps
from scoring.columns.features import FeatureBatch
from scoring.errors import ConfigurationError, ModelError
from scoring.models import load_model
from scoring.models.adaptive_batches import AdaptiveModel
from tests.unit.scoring.models.loading import NAMES, ROWS, columns_of, spec_of
from tests.unit.scoring.support.job_folder import REPOSITORY

WRAPPERS = {
    "binary": xgboost.XGBClassifier(n_estimators=4, max_depth=3),
    "classes": xgboost.XGBClassifier(n_estimators=4, max_depth=3),
    "softmax": xgboost.XGBClassifier(n_estimators=4, max_depth=3, objective="multi:softmax"),
    "raw": xgboost.XGBClassifier(n_estimators=4, max_depth=3, objective="binary:logitraw"),
    "hinge": xgboost.XGBClassifier(n_estimators=4, max_depth=3, objective="binary:hinge"),
    "dart": xgboost.XGBClassifier(n_estimators=4, booster="dart"),
    "linear": xgboost.XGBClassifier(n_estimators=4, booster="gblinear"),
    "labels": xgboost.XGBClassifier(n_estimators=4, max_depth=3),
    "stopped": xgboost.XGBClassifier(n_estimators=60, learning_rate=1.0, early_stopping_rounds=2),
    "regressor": xgboost.XGBRegressor(n_estimators=4, max_depth=3),
    "targets": xgboost.XGBRegressor(n_estimators=4, max_depth=3),
    "forest": xgboost.XGBRFClassifier(n_estimators=4, max_depth=3),
}


@pytest.fixture(scope="module", params=sorted(WRAPPERS))
def wrapper(request: pytest.FixtureRequest, numbers: pd.DataFrame, classes: pd.Series) -> Any:
    model = WRAPPERS[request.param]
    binary = (numbers["delay"] > 10).astype("int64")
    target: Any = {"classes": classes, "softmax": classes, "regressor": numbers["distance"]}.get(request.param, binary)
    if request.param == "labels":
        target = np.column_stack([binary, classes == 1]).astype("int64")
    if request.param == "targets":
        target = numbers[["distance", "hour"]].to_numpy()
    frame = numbers.fillna(0) if request.param == "linear" else numbers
    validation = {"eval_set": [(frame, 1 - target)], "verbose": False} if request.param == "stopped" else {}
    return model.fit(frame, target, **validation)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "margin"])
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_wrapper_models_predict_as_the_wrapper(
    wrapper: Any, method: str, ending: str, numbers: pd.DataFrame, tmp_path: Path
) -> None:
    classifier = hasattr(wrapper, "predict_proba")
    file = tmp_path / f"model.{ending}"
    wrapper.save_model(file)
    spec = spec_of(f"xgboost-sklearn-{ending}", method)
    frame = numbers.fillna(0) if wrapper.booster == "gblinear" else numbers
    if method == "predict_proba" and not classifier:
        with pytest.raises(ModelError, match="predict_proba needs a classifier"):
            load_model(spec, file)
        return

    found = columns_of(spec, load_model(spec, file), frame)

    expected = {
        "predict": lambda: wrapper.predict(frame),
        "predict_proba": lambda: wrapper.predict_proba(frame),
        "margin": lambda: wrapper.predict(frame, output_margin=True),
    }[method]()
    expected = expected.reshape(len(frame), -1)
    single = expected.shape[1] == 1
    assert list(found) == (["prediction"] if single else [f"prediction_{i}" for i in range(expected.shape[1])])
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("method", ["predict", "margin"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror", "multi:softprob", "multi:softmax"])
def test_boosters_predict_as_booster_predict(  # noqa: PLR0917 - fixtures
    objective: str, method: str, ending: str, numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    several = objective.startswith("multi")
    data = xgboost.DMatrix(numbers, label=classes if several else classes > 0)
    settings = {"objective": objective, "max_depth": 3, **({"num_class": 3} if several else {})}
    booster = xgboost.train(settings, data, num_boost_round=4)
    file = tmp_path / f"model.{ending}"
    booster.save_model(file)
    spec = spec_of(f"xgboost-{ending}", method)

    found = columns_of(spec, load_model(spec, file), numbers)

    expected = booster.predict(data, output_margin=method == "margin").reshape(ROWS, -1)
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def test_a_booster_of_an_undeclared_format_is_refused(numbers: pd.DataFrame, tmp_path: Path) -> None:
    booster = xgboost.train({}, xgboost.DMatrix(numbers, label=numbers["hour"]), num_boost_round=1)
    booster.save_model(tmp_path / "model.ubj")
    booster.save_model(tmp_path / "model.json")
    with pytest.raises(ModelError, match="is not xgboost-json, it looks like ubj"):
        load_model(spec_of("xgboost-json"), tmp_path / "model.ubj")
    with pytest.raises(ModelError, match="is not xgboost-ubj, it looks like json"):
        load_model(spec_of("xgboost-ubj"), tmp_path / "model.json")
    with pytest.raises(ModelError, match="was not saved by XGBClassifier"):
        load_model(spec_of("xgboost-sklearn-json"), tmp_path / "model.json")


def test_xgboost_loads_without_libraries_of_its_wrappers(numbers: pd.DataFrame, tmp_path: Path) -> None:
    """Their import takes longer than a small job, which no other test would notice."""
    model = xgboost.XGBClassifier(n_estimators=1).fit(numbers, numbers["delay"] > 10)
    model.save_model(tmp_path / "model.json")
    code = (
        "import sys, pyarrow as pa, scoring.worker.engine\n"
        "from pathlib import Path\n"
        "from contract.codec import loads\n"
        "from contract.catalog.model_spec import ModelSpec\n"
        "from scoring.columns.features import FeatureBatch\n"
        "from scoring.models import load_model\n"
        "from scoring.columns.predictions import complete_columns\n"
        "spec = loads(ModelSpec, sys.argv[2])\n"
        "model = load_model(spec, Path(sys.argv[1]))\n"
        "arrays = [pa.nulls(2, kind) for kind in (pa.float64(), pa.int64(), pa.bool_())]\n"
        "values = model.predict(FeatureBatch(('distance', 'delay', 'hour'), tuple(arrays), frozenset()))\n"
        "print([column.type for column in complete_columns(spec, model.outputs, values, 2, 0)])\n"
        "slow = ('sklearn', 'pandas', 'joblib', 'scipy.sparse', 'scipy.special')\n"
        "print([name for name in slow if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.json"), dumps(spec_of("xgboost-sklearn-json"))],
        env={"PYTHONPATH": f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "[DataType(int64)]\n[]\n", ended.stderr


@pytest.mark.filterwarnings("ignore:.*Device is changed from GPU to CPU")
@pytest.mark.parametrize("name", ["stopped", "dart", "linear"])
def test_xgboost_on_a_gpu_predicts_the_same_but_not_concurrently(
    name: str, numbers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without CUDA, XGBoost accepts `device` and stays on the CPU."""
    target = (numbers["delay"] > 10).astype("int64")
    frame = numbers.fillna(0)
    validation = {"eval_set": [(frame, 1 - target)], "verbose": False} if name == "stopped" else {}
    clone(WRAPPERS[name]).fit(frame, target, **validation).save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-sklearn-ubj", "predict_proba")
    on_cpu = columns_of(spec, load_model(spec, tmp_path / "model.ubj"), frame)
    monkeypatch.setattr("scoring.models.trees.xgboost_library._device", lambda: "cuda")
    loaded = load_model(spec, tmp_path / "model.ubj")
    assert not loaded.concurrent
    found = columns_of(spec, loaded, frame)
    for column, values in on_cpu.items():
        np.testing.assert_array_equal(found[column], values)


def test_xgboost_without_cuda_reports_scoring_on_the_cpu(
    numbers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clone(WRAPPERS["regressor"]).fit(numbers, numbers["distance"]).save_model(tmp_path / "model.ubj")
    for module in ("scoring.models.trees.xgboost_library", "scoring.models"):
        monkeypatch.setattr(f"{module}.find_device", lambda: "cuda")
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": False})
    spec = spec_of("xgboost-sklearn-ubj")
    loaded = load_model(spec, tmp_path / "model.ubj")
    assert isinstance(loaded, AdaptiveModel)
    assert loaded.concurrent
    assert "XGBoost is built for the CPU" in capsys.readouterr().err
    assert len(columns_of(spec, loaded, numbers)["prediction"]) == ROWS


def save(model: Any, folder: Path) -> Path:
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib"


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize("labels", ["numbers", "words", "two words"])
def test_classifiers_predict_as_scikit_learn(
    labels: str, method: str, numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    frame = numbers.fillna(0) / 1_000
    words = np.array(["early", "noon", "night"])
    target = {
        "numbers": classes.to_numpy(),
        "words": words[classes],
        "two words": words[(classes > 1).astype("int64")].astype(object),
    }[labels]
    model = LogisticRegression().fit(frame, target)
    spec = spec_of("sklearn-joblib", method)

    found = columns_of(spec, load_model(spec, save(model, tmp_path)), frame)

    expected = np.asarray(getattr(model, method)(frame)).reshape(ROWS, -1)
    several = expected.shape[1] > 1
    assert list(found) == ([f"prediction_{name}" for name in model.classes_] if several else ["prediction"])
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def test_other_estimators_predict_as_scikit_learn(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    frame = numbers.fillna(0)
    matrix = frame.to_numpy()
    pairs = SVC(decision_function_shape="ovo").fit(matrix[:60], (classes % 3)[:60].to_numpy())
    two_targets = LinearRegression().fit(matrix, matrix[:, :2])
    two_labels = RandomForestClassifier(2, random_state=0).fit(matrix, np.column_stack([classes, classes > 0]))
    cases: list[tuple[Any, str, tuple[str, ...]]] = [
        (IsolationForest(n_estimators=3, random_state=0).fit(matrix), "predict", ()),
        (IsolationForest(n_estimators=3, random_state=0).fit(matrix), "decision_function", ()),
        (pairs, "decision_function", ("a", "b", "c")),
        (two_targets, "predict", ("x", "y")),
        (two_labels, "predict", ()),
    ]
    for model, method, output_columns in cases:
        spec = spec_of("sklearn-joblib", method, output_columns=output_columns)
        found = columns_of(spec, load_model(spec, save(model, tmp_path)), frame)
        expected = getattr(model, method)(matrix).reshape(ROWS, -1)
        np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def test_models_with_column_names_get_the_dtypes_of_read_parquet(tmp_path: Path) -> None:
    """For strings, and for whole numbers and booleans with nulls."""
    table = pa.table(
        {
            "text": pa.array(["a", None, "b", "a"]),
            "whole": pa.array([1, None, 3, 1], pa.int64()),
            "flag": pa.array([True, None, False, True]),
        }
    )
    pq.write_table(table, tmp_path / "all.parquet")
    frame = pd.read_parquet(tmp_path / "all.parquet")
    model = make_pipeline(OrdinalEncoder(encoded_missing_value=-1), LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 4.0])
    features = (Feature("text", "string"), Feature("whole", "int64"), Feature("flag", "bool"))
    spec = spec_of("sklearn-joblib", features=features)
    loaded = load_model(spec, save(model, tmp_path))
    arrays = tuple(column.chunk(0) for column in table.columns)
    with_nulls = frozenset(table.column_names)

    whole = FeatureBatch(tuple(table.column_names), arrays, with_nulls)
    pd.testing.assert_frame_equal(whole.frame(), frame)
    for row in range(4):
        single = FeatureBatch(tuple(table.column_names), tuple(array.slice(row, 1) for array in arrays), with_nulls)
        pd.testing.assert_frame_equal(single.frame(), frame.iloc[[row]].reset_index(drop=True))
        assert loaded.predict(single) == model.predict(frame)[row]


def test_one_hot_encoders_get_unknown_text_as_unknown(tmp_path: Path) -> None:
    texts = pd.DataFrame({"text": pd.Series(["a", "b", None, "a"], dtype="str")})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LinearRegression()).fit(texts, [1.0, 2.0, 3.0, 1.0])
    spec = spec_of("sklearn-joblib", features=(Feature("text", "string"),))
    loaded = load_model(spec, save(model, tmp_path))
    batch = FeatureBatch(("text",), (pa.array(["a", "b", None, "new"]),), frozenset({"text"}))
    found = loaded.predict(batch)
    np.testing.assert_allclose(found[:3], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"features": (Feature("distance", "double"), Feature("hour", "double"))}, r"lacks \['delay'\]"),
        ({"features": tuple(Feature(n, "double") for n in (*NAMES, "more"))}, r"has \['more'\], which the model does"),
        ({"features": tuple(Feature(n, "double") for n in reversed(NAMES))}, "position 0 is 'hour' in the record"),
        ({"method": "predict_proba"}, "its LinearRegression has no predict_proba"),
    ],
)
def test_a_record_that_contradicts_the_model_is_refused(
    fields: dict[str, Any], expected: str, numbers: pd.DataFrame, tmp_path: Path
) -> None:
    model = LinearRegression().fit(numbers.fillna(0), numbers["hour"])
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("sklearn-joblib", **fields), save(model, tmp_path))


def test_output_columns_of_a_wrong_number_are_refused(
    numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    model = LogisticRegression().fit(numbers.fillna(0) / 1_000, classes)
    spec = spec_of("sklearn-joblib", "predict_proba", output_columns=("low", "high"))
    with pytest.raises(ConfigurationError, match=r"names 2 columns .* gives 3"):
        load_model(spec, save(model, tmp_path))


def test_text_features_without_column_names_are_refused(numbers: pd.DataFrame, tmp_path: Path) -> None:
    model = LinearRegression().fit(numbers[["hour"]].to_numpy(), numbers["hour"])
    with pytest.raises(ModelError, match="declares \\['carrier'\\] as string"):
        load_model(spec_of("sklearn-joblib", features=(Feature("carrier", "string"),)), save(model, tmp_path))


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"no model at all")
    with pytest.raises(
        ModelError, match=r"'model' cannot be loaded as .* \(the record says sklearn 1.0, the image has "
    ):
        load_model(spec_of("sklearn-joblib", framework_version="1.0"), tmp_path / "model")
    with pytest.raises(ModelError, match="'model' is not JSON or UBJSON"):
        load_model(spec_of("xgboost-ubj", framework_version="1.0"), tmp_path / "model")
    with pytest.raises(ModelError, match="'model' cannot be loaded as onnx"):
        load_model(spec_of("onnx"), tmp_path / "model")


def test_scikit_learn_imports_slow_modules_only_on_use() -> None:
    """Importing scipy.stats takes as long as the rest of scikit-learn, which no other test would notice."""
    code = (
        "import sys, threading\n"
        "from scoring.models.scikit_learn import joblib_file\n"
        "print('sklearn.pipeline' in sys.modules)\n"
        "import sklearn.pipeline\n"
        "print('pandas' in sys.modules)\n"
        "import sklearn.isotonic, sklearn.linear_model, sklearn.preprocessing\n"
        "print('scipy.stats._stats_py' in sys.modules)\n"
        "import scipy, scipy.stats\n"
        "from scipy.stats import norm, rankdata\n"
        "print(sklearn.isotonic.spearmanr([1, 2, 3], [1, 2, 4]).statistic, norm.cdf(0), rankdata([3, 1]).tolist())\n"
        "print(scipy.stats is sys.modules['scipy.stats'], scipy.stats.rankdata is rankdata)\n"
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "model = KNeighborsClassifier(1).fit([[0.0], [1.0]], [0, 1])\n"
        "found = []\n"
        "threads = [threading.Thread(target=lambda: found.append(model.predict([[0.9]])[0])) for _ in range(8)]\n"
        "[thread.start() for thread in threads], [thread.join() for thread in threads]\n"
        "print(sum(found))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == ["False"] * 3 + ["1.0 0.5 [2.0, 1.0]", "True True", "8"], ended.stderr


def _find_no_room() -> None:
    raise OSError(errno.ENOSPC, "/tmp")


class _NeedsRoom:
    """An object that cannot be unpickled, because a disk is full."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _find_no_room, ()


def test_no_room_to_load_a_model_is_not_the_models_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no room to load it .*No space left.* raise the job's volume"):
        load_model(spec_of("sklearn-joblib"), save(_NeedsRoom(), tmp_path))
