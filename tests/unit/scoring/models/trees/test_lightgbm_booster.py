"""LightGBM models predict exactly what LightGBM itself predicts."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.codec import dumps
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import ROWS, columns_of, matrix_of, predicted_by_threads, spec_of
from tests.unit.scoring.support.job_folder import REPOSITORY

QUIET = {"verbosity": -1, "num_threads": 1, "num_leaves": 7, "seed": 3}
OBJECTIVES = {
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "one against all": {"objective": "multiclassova", "num_class": 3},
    "regression": {"objective": "regression"},
    "poisson": {"objective": "poisson"},
    "ranking": {"objective": "lambdarank"},
    "forest": {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "linear trees": {"objective": "regression", "linear_tree": True},
    "cross entropy": {"objective": "cross_entropy"},
}


def train(name: str, frame: pd.DataFrame, classes: pd.Series, folder: Path) -> tuple[Any, Path]:
    several = "multiclass" in str(OBJECTIVES[name])
    target = classes if several else classes > 0
    target = frame["distance"] if name in ("regression", "linear trees", "poisson") else target.astype("int64")
    group = [20] * (len(frame) // 20) if name == "ranking" else None
    data = lightgbm.Dataset(frame, label=target, group=group)
    booster = lightgbm.train({**QUIET, **OBJECTIVES[name]}, data, num_boost_round=6)
    booster.save_model(folder / "model.txt")
    return booster, folder / "model.txt"


@pytest.mark.parametrize("method", ["predict", "margin"])
@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_predictions_equal_those_of_booster_predict(
    name: str, method: str, numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    assert numbers.isna().any().any(), "the rows must have missing values"
    booster, file = train(name, numbers, classes, tmp_path)
    spec = spec_of("lightgbm-text", method)

    found = columns_of(spec, load_model(spec, file), numbers)

    expected = booster.predict(numbers, raw_score=method == "margin").reshape(ROWS, -1)
    several = expected.shape[1] > 1
    assert list(found) == ([f"prediction_{i}" for i in range(3)] if several else ["prediction"])
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


@pytest.mark.parametrize("several", [False, True])
def test_probabilities_equal_those_of_the_wrapper(
    several: bool, numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    target = classes if several else (classes > 0).astype("int64")
    wrapper = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=7, n_jobs=1, verbosity=-1).fit(numbers, target)
    wrapper.booster_.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", "predict_proba")

    found = columns_of(spec, load_model(spec, tmp_path / "model.txt"), numbers)

    expected = wrapper.predict_proba(numbers)
    assert list(found) == [f"prediction_{i}" for i in range(expected.shape[1])]
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def test_pandas_categories_are_mapped_to_those_of_training(training: pd.DataFrame, tmp_path: Path) -> None:
    """The scored rows have the categories in another order, an unknown one, and missing values."""
    frame = training[["distance", "carrier", "hour"]].head(800)
    frame = frame.assign(carrier=frame["carrier"].astype("category"))
    target = (training["late"].head(800) + (training["carrier"].head(800) == "UA")).clip(upper=1)
    booster = lightgbm.train({**QUIET, "objective": "binary"}, lightgbm.Dataset(frame, label=target), 8)
    booster.save_model(tmp_path / "model.txt")
    features = (Feature("distance", "double"), Feature("carrier", "string"), Feature("hour", "int32"))
    spec = spec_of("lightgbm-text", features=features)
    rows = training[["distance", "carrier", "hour"]].iloc[1_000:1_200].reset_index(drop=True)
    rows.loc[5, "carrier"] = "ZZ"
    rows.loc[6, "carrier"] = None

    found = columns_of(spec, load_model(spec, tmp_path / "model.txt"), rows)["prediction"]

    expected = booster.predict(rows.assign(carrier=rows["carrier"].astype("category")))
    np.testing.assert_array_equal(found, expected)
    assert len(set(booster.predict(frame.assign(distance=1_000.0, hour=5)))) > 1, "the category must count"


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        ([10, 11, 12], "int64"),
        ([10, 11, 12], "int8"),
        ([10, 11, 12], "double"),
        ([1.5, 2.5, np.nan], "double"),
        ([7.0, 8.0, np.nan], "int64"),
        ([True, False], "bool"),
        ([True, False, None], "bool"),
        (["b", "a", None], "string"),
        (["only one"], "string"),
    ],
)
def test_pandas_categories_of_any_kind_are_mapped(values: list[Any], declared: str, tmp_path: Path) -> None:
    """The scored rows also have nulls and, where the type has more values, an unknown category."""
    random = np.random.default_rng(1)
    kinds = pd.Series(random.choice(np.array(values, dtype=object), 500)).convert_dtypes(convert_integer=False)
    kinds = kinds.astype("float64" if isinstance(values[0], float) else kinds.dtype).astype("category")
    frame = pd.DataFrame({"x": random.normal(size=500), "kind": kinds})
    target = frame["x"] + 3 * kinds.cat.codes
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(frame, label=target), 8)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=(Feature("x", "double"), Feature("kind", declared)))
    known = list(kinds.cat.categories)
    other = {"string": "z", "bool": known[0]}.get(declared, 99)
    rows = [*known, other, None]

    arrays = (pa.array(np.zeros(len(rows))), pa.array(rows, pa.type_for_alias(declared)))
    found = load_model(spec, tmp_path / "model.txt").predict(FeatureBatch(("x", "kind"), arrays, frozenset({"kind"})))

    as_category = pd.Categorical(rows, categories=[*known, *([other] if other not in known else [])])
    expected = booster.predict(pd.DataFrame({"x": np.zeros(len(rows)), "kind": as_category}))
    np.testing.assert_array_equal(found, expected)


def test_categorical_feature_keeps_its_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=500), "kind": random.integers(10, 15, 500)})
    data = lightgbm.Dataset(frame, label=frame["kind"] % 3, categorical_feature=["kind"])
    booster = lightgbm.train({**QUIET, "objective": "regression"}, data, 8)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=(Feature("x", "double"), Feature("kind", "int64")))

    found = columns_of(spec, load_model(spec, tmp_path / "model.txt"), frame.assign(kind=frame["kind"] + 1))

    np.testing.assert_array_equal(found["prediction"], booster.predict(frame.assign(kind=frame["kind"] + 1)))


REFUSED_CATEGORIES: dict[str, tuple[Any, str, str]] = {
    "texts as a number": (["a", "b"] * 100, "double", "'kind' is double, its categories are texts: declare it as"),
    "numbers as a text": ([1, 2] * 100, "string", "'kind' is string, its categories are whole numbers: declare it as"),
    "fractions as integers": ([1.5, 2.5] * 100, "int64", "'kind' is int64, its categories are numbers: declare it as"),
    "doubles as floats": ([0.1, 0.2] * 100, "float", "'kind' is float, which cannot hold all its categories"),
    "too large numbers": ([1, 300] * 100, "int8", "'kind' is int8, which cannot hold all its categories"),
    "several kinds": (["a", 1] * 100, "string", "'kind' is string, its categories are of several kinds"),
    "ordered numbers": (
        pd.Categorical([1, 2] * 100, ordered=True),
        "int64",
        r"on 1 columns of pandas's category dtype, and its file treats \[\] as categorical",
    ),
}


@pytest.mark.parametrize("case", REFUSED_CATEGORIES)
def test_categories_that_the_record_contradicts_are_refused(case: str, tmp_path: Path) -> None:
    values, declared, message = REFUSED_CATEGORIES[case]
    frame = pd.DataFrame({"x": np.arange(200.0), "kind": pd.Categorical(values)})
    label = frame["kind"].cat.codes
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(frame, label=label), 2)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=(Feature("x", "double"), Feature("kind", declared)))
    with pytest.raises(ModelError, match=message):
        load_model(spec, tmp_path / "model.txt")


def test_text_declared_for_a_number_is_refused(tmp_path: Path) -> None:
    """Its codes would be looked up among the categories of another column."""
    frame = pd.DataFrame({"x": np.arange(200.0), "kind": pd.Categorical(["a", "b"] * 100)})
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(frame, label=frame["x"]), 2)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=(Feature("x", "string"), Feature("kind", "int64")))
    with pytest.raises(ModelError, match="declare columns of texts as string"):
        load_model(spec, tmp_path / "model.txt")


def test_ordered_categories_of_texts_are_mapped(tmp_path: Path) -> None:
    """LightGBM encodes ordered categories, but does not mark them in the file."""
    order = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    frame = pd.DataFrame({"x": np.arange(300.0), "kind": pd.Series(["mid", "high", "low"] * 100, dtype=order)})
    label = frame["kind"].cat.codes
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(frame, label=label), 5)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=(Feature("x", "double"), Feature("kind", "string")))

    found = columns_of(spec, load_model(spec, tmp_path / "model.txt"), frame.astype({"kind": object}))["prediction"]

    np.testing.assert_array_equal(found, booster.predict(frame))


def test_blanks_in_names_match_lightgbms_underscores(numbers: pd.DataFrame, tmp_path: Path) -> None:
    frame = numbers.rename(columns={"hour": "hour of day"})
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(frame, label=numbers["hour"]), 3)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text", features=tuple(Feature(name, "double") for name in frame.columns))
    np.testing.assert_array_equal(
        matrix_of(spec, load_model(spec, tmp_path / "model.txt"), frame)[:, 0], booster.predict(frame)
    )


def test_a_model_trained_on_a_matrix_knows_only_the_feature_count(
    numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    data = lightgbm.Dataset(numbers.to_numpy(), label=classes > 0)
    booster = lightgbm.train({**QUIET, "objective": "binary"}, data, 2)
    booster.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text")
    np.testing.assert_array_equal(
        matrix_of(spec, load_model(spec, tmp_path / "model.txt"), numbers)[:, 0], booster.predict(numbers.to_numpy())
    )
    with pytest.raises(ModelError, match="has 1 features, it was trained on 3"):
        load_model(spec_of("lightgbm-text", features=(Feature("a", "double"),)), tmp_path / "model.txt")


def test_unsuitable_files_are_refused_with_a_remedy(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    booster, file = train("regression", numbers, classes, tmp_path)
    with pytest.raises(ModelError, match="predict_proba needs a classifier, its objective is regression"):
        load_model(spec_of("lightgbm-text", "predict_proba"), file)
    with pytest.raises(ModelError, match="position 0 is 'hour' in the record"):
        load_model(
            spec_of("lightgbm-text", features=tuple(Feature(n, "double") for n in reversed(numbers.columns))), file
        )
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(booster))
    with pytest.raises(ModelError, match=r"is a pickle, not LightGBM's text: save it with booster_.save_model"):
        load_model(spec_of("lightgbm-text"), tmp_path / "model.pkl")
    (tmp_path / "cut.txt").write_text(file.read_text()[:700])
    with pytest.raises(ModelError, match="ends before its last tree"):
        load_model(spec_of("lightgbm-text"), tmp_path / "cut.txt")


def test_concurrent_threads_get_equal_predictions(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    booster, file = train("multiclass", numbers, classes, tmp_path)
    model = load_model(spec_of("lightgbm-text"), file)
    assert model.concurrent
    expected = booster.predict(numbers)
    assert all(np.array_equal(values, expected) for values in predicted_by_threads(model, numbers))


def test_lightgbm_loads_without_scikit_learn(numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    """Its import takes longer than a small job, which no other test would notice."""
    _, file = train("binary", numbers, classes, tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from contract.codec import loads\n"
        "from contract.catalog.model_spec import ModelSpec\n"
        "from scoring.models import load_model\n"
        "model = load_model(loads(ModelSpec, sys.argv[2]), Path(sys.argv[1]))\n"
        "print(len(model.outputs), [name for name in ('sklearn', 'joblib', 'matplotlib') if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(file), dumps(spec_of("lightgbm-text"))],
        env={"PYTHONPATH": f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "1 []\n", ended.stderr
