"""`python -m scoring` on models of every light framework: always the same predictions."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.catalog.model_fields import Feature
from contract.codec import dumps
from contract.job.joined import joined_names
from tests.unit.scoring.models.loading import NAMES
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, joblib_saver

FEATURES = [Feature(name, "double") for name in NAMES]
FLOATS = [Feature(name, "float") for name in NAMES]


@pytest.fixture(scope="module")
def training_rows(training: pd.DataFrame) -> pd.DataFrame:
    return training.head(600)


@pytest.fixture(scope="module")
def models(training_rows: pd.DataFrame) -> dict[str, Any]:
    frame, late = training_rows[list(NAMES)].astype("float64"), training_rows["late"]
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame.fillna(0), late)
    quiet = {"verbosity": -1, "num_threads": 1, "num_leaves": 7}
    boosted = catboost.CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False, thread_count=1)
    return {
        "linear": linear,
        "lightgbm": lightgbm.train({**quiet, "objective": "binary"}, lightgbm.Dataset(frame, label=late), 5),
        "catboost": boosted.fit(frame, late),
    }


def add_models(job: JobFolder, models: dict[str, Any]) -> None:
    linear = models["linear"]
    graph = to_onnx(linear, np.zeros((1, 3), np.float32), options={"zipmap": False}).SerializeToString()
    saved: list[tuple[str, Callable[[Path], object], str, str]] = [
        ("skops", lambda path: skops.io.dump(linear, path), "sklearn-skops", "predict_proba"),
        ("lightgbm", models["lightgbm"].save_model, "lightgbm-text", "predict"),
        ("catboost", lambda path: models["catboost"].save_model(str(path)), "catboost-cbm", "predict_proba"),
        ("onnx", lambda path: path.write_bytes(graph), "onnx", "predict"),
    ]
    for model_id, save, declared, method in saved:
        features = FLOATS if model_id == "onnx" else FEATURES
        job.add_model(model_id, save, features=features, file="model", declared=declared, method=method)


def test_all_frameworks_score_in_one_job_whatever_batches_and_threads(models: dict[str, Any], tmp_path: Path) -> None:
    rows = make_flights(1_500, seed=4)[list(NAMES)].astype("float32").fillna(0)
    answers = []
    for index, (batch_rows, cores) in enumerate([(65_536, "1"), (100, "2")]):
        job = JobFolder(tmp_path / str(index))
        add_models(job, models)
        job.add_object("a.parquet", rows)
        job.add_object("none.parquet", rows.head(0))
        job.write_spec(batch_rows=batch_rows)
        job.score("--cores", cores)
        answers.append(
            {name: job.output(name, "a.parquet").to_pandas() for name in (*models, "skops", "onnx") if name != "linear"}
        )
        for name in answers[0]:
            assert job.output(name, "none.parquet").schema == job.output(name, "a.parquet").schema
            assert job.commit(name, "a.parquet").notes == ()

    joined = JobFolder(tmp_path / "joined")
    add_models(joined, models)
    joined.add_object("a.parquet", rows)
    joined.write_spec(output_layout="joined")
    joined.score()
    together = pd.read_parquet(joined.paths.predictions / "a.parquet", partitioning=None)
    for name, frame in answers[0].items():
        own = frame.iloc[:, len(NAMES) :]
        columns = joined_names(name, list(own.columns))
        pd.testing.assert_frame_equal(together[list(columns)], own.set_axis(columns, axis=1))

    doubles = rows.astype("float64")
    expected = {
        "skops": models["linear"].predict_proba(doubles),
        "lightgbm": models["lightgbm"].predict(doubles).reshape(-1, 1),
        "catboost": models["catboost"].predict_proba(doubles),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(answers[0][name].iloc[:, 3:].to_numpy(), values)
    np.testing.assert_array_equal(answers[0]["onnx"]["prediction_label"], models["linear"].predict(doubles))
    for name, frame in answers[0].items():
        pd.testing.assert_frame_equal(answers[1][name], frame)


def test_pickled_wrappers_and_native_boosters_share_a_job(job: JobFolder, training_rows: pd.DataFrame) -> None:
    """Native boosters import their library without scikit-learn, unless another model needs it."""
    frame, late = training_rows[list(NAMES)].astype("float64"), training_rows["late"]
    light = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1).fit(frame, late)
    extreme = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(frame, late)
    job.add_model(
        "a",
        light.booster_.save_model,
        features=FEATURES,
        file="m.txt",
        declared="lightgbm-text",
        method="predict_proba",
    )
    job.add_model("b", extreme.save_model, features=FEATURES, file="m.ubj", declared="xgboost-ubj")
    job.add_model("c", joblib_saver(light), features=FEATURES, method="predict_proba")
    job.add_model("d", joblib_saver(extreme), features=FEATURES, method="predict_proba")
    job.add_object("a.parquet", frame)
    job.write_spec()

    job.score()

    found = {name: job.output(name, "a.parquet").to_pandas().iloc[:, 3:].to_numpy() for name in "abcd"}
    np.testing.assert_array_equal(found["a"], light.predict_proba(frame))
    np.testing.assert_array_equal(found["c"], light.predict_proba(frame))
    np.testing.assert_array_equal(found["d"], extreme.predict_proba(frame))
    np.testing.assert_array_equal(found["b"][:, 0], extreme.predict_proba(frame)[:, 1])


def test_every_library_predicts_on_one_thread_per_call(models: dict[str, Any], tmp_path: Path) -> None:
    """Whole batches are predicted in parallel; a library's own threads would exceed the budget.

    A library may have a thread that waits, as CatBoost does, but none that works: the CPU time of
    the process is that of the calling thread.
    """
    job = JobFolder(tmp_path)
    add_models(job, models)
    code = """
import sys, time
from pathlib import Path
import numpy as np, pyarrow as pa
from contract.codec import loads
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.models import load_model

random = np.random.default_rng(0)
pa.set_cpu_count(1)
# pyarrow's own thread, which the first DataFrame starts.
pa.table({"x": random.normal(size=50_000), "y": random.normal(size=50_000)}).to_pandas()
for path, text in zip(sys.argv[1::2], sys.argv[2::2]):
    spec = loads(ModelSpec, text)
    model = load_model(spec, Path(path))
    kinds = [pa.float32() if feature.type == "float" else pa.float64() for feature in spec.features]
    arrays = tuple(pa.array(random.normal(size=50_000)).cast(kind) for kind in kinds)
    batch = FeatureBatch(tuple(feature.name for feature in spec.features), arrays, frozenset())
    model.predict(batch)
    process, thread = time.process_time(), time.thread_time()
    for _ in range(5):
        model.predict(batch)
    own, everyone = time.thread_time() - thread, time.process_time() - process
    print(spec.model_id, "shares its work" if everyone > 1.2 * own + 0.02 else "works alone")
"""
    # scikit-learn has no threads here.
    specs = [model for model in job.models if model.model_id != "skops"]
    files = [job.paths.root / "packing" / spec.model_id / "model" for spec in specs]
    words = [word for file, spec in zip(files, specs, strict=True) for word in (str(file), dumps(spec))]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=job.environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == [f"{model.model_id} works alone" for model in specs], ended.stderr
