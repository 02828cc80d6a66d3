"""`python -m scoring` over models of every light framework at once: always the same answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.spec import Feature
from tests.unit.scoring.flights import make_flights
from tests.unit.scoring.job_folder import JobFolder
from tests.unit.scoring.loading import NAMES

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


def test_every_framework_scores_in_one_job_and_batches_and_threads_change_nothing(
    models: dict[str, Any], tmp_path: Path
) -> None:
    rows = make_flights(1_500, seed=4)[list(NAMES)].astype("float32").fillna(0)
    answers = []
    for index, (batch_rows, cores) in enumerate([(65_536, "1"), (100, "2"), (7, "1")]):
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
            assert job.marker(name, "a.parquet").notes == ()

    doubles = rows.astype("float64")
    expected = {
        "skops": models["linear"].predict_proba(doubles),
        "lightgbm": models["lightgbm"].predict(doubles).reshape(-1, 1),
        "catboost": models["catboost"].predict_proba(doubles),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(answers[0][name].iloc[:, 3:].to_numpy(), values)
    np.testing.assert_array_equal(answers[0]["onnx"]["prediction_label"], models["linear"].predict(doubles))
    for answer in answers[1:]:
        for name, frame in answers[0].items():
            pd.testing.assert_frame_equal(answer[name], frame)
