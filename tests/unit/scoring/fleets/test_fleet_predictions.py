"""A fleet's predictions are those that each member gives its rows alone, bit by bit."""

import functools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.job.fleet import FleetSpec
from scoring.models import load_model
from scoring.protocol import MergeParts, PredictPart, ScoreGroup
from tests.unit.fuzzing import examples
from tests.unit.scoring.models.loading import spec_of
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import (
    commit_group_in_process,
    commit_in_process,
    commits_in_process,
    engine_in_process,
    score_in_process,
)
from tests.unit.scoring.support.job_folder import JobFolder

WIDTH = 6
NAMES = [f"x{index}" for index in range(WIDTH)]
FEATURES = tuple(Feature(name, "double") for name in NAMES)
ROUTES = ["a", "b", "c", "d", "e"]
_FAST = {"iterations": 5, "depth": 3, "thread_count": 1, "verbose": 0, "allow_writing_files": False}

Save = Callable[[pd.DataFrame, Any, Path], object]


def _joblib(estimator: Any, *, named: bool = True) -> Save:
    def save(frame: pd.DataFrame, target: Any, path: Path) -> object:
        return joblib.dump(estimator.fit(frame if named else frame.to_numpy(), target), path)

    return save


def _xgboost(frame: pd.DataFrame, target: Any, path: Path) -> object:
    return xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(frame, label=target), 4).save_model(path)


def _lightgbm(frame: pd.DataFrame, target: Any, path: Path) -> object:
    data = lightgbm.Dataset(frame, target, params={"verbose": -1})
    return lightgbm.train({"num_leaves": 7, "verbose": -1, "num_threads": 1}, data, 4).save_model(path)


def _catboost(frame: pd.DataFrame, target: Any, path: Path) -> object:
    return catboost.CatBoostRegressor(**_FAST).fit(frame, target).save_model(str(path))


def _onnx(frame: pd.DataFrame, target: Any, path: Path) -> object:
    matrix = frame.to_numpy().astype(np.float32)
    return path.write_bytes(to_onnx(LinearRegression().fit(matrix, target), matrix[:1]).SerializeToString())


LIBRARIES: dict[str, tuple[str, str, Save]] = {
    "linear": ("sklearn-joblib", "model.joblib", _joblib(make_pipeline(StandardScaler(), LinearRegression()))),
    "matrix": ("sklearn-joblib", "model.joblib", _joblib(LinearRegression(), named=False)),
    "network": (
        "sklearn-joblib",
        "model.joblib",
        _joblib(MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=1)),
    ),
    "forest": ("sklearn-joblib", "model.joblib", _joblib(RandomForestRegressor(5, max_depth=3, random_state=1))),
    "xgboost": ("xgboost-json", "model.json", _xgboost),
    "lightgbm": ("lightgbm-text", "model.txt", _lightgbm),
    "lightgbm-frame": ("sklearn-joblib", "model.joblib", _joblib(lightgbm.LGBMRegressor(n_estimators=4, verbose=-1))),
    "catboost": ("catboost-cbm", "model.cbm", _catboost),
    "onnx": ("onnx", "model.onnx", _onnx),
}
MIXED = [["catboost", "forest", "lightgbm", "lightgbm-frame", "linear"], ["xgboost", "linear"], ["linear", "xgboost"]]
"""Libraries of one fleet. XGBoost predicts floats, the others doubles."""
DEPENDENT = {"onnx"}
"""Libraries whose last digits depend on the rows of a call, so that batches and parts change them as in other jobs."""


@functools.cache
def _member(library: str, route: str) -> tuple[ModelSpec, Any]:
    declared, file, save = LIBRARIES[library]
    random = np.random.default_rng(ROUTES.index(route))
    frame = pd.DataFrame(random.normal(size=(200, WIDTH)), columns=NAMES)
    spec = spec_of(
        declared, model_id=f"{library}-{route}", model_file=file, features=FEATURES, tolerated_quarantine_fraction=0.5
    )
    with TemporaryDirectory() as folder:
        save(frame, frame.to_numpy() @ random.normal(size=WIDTH), Path(folder) / file)
        return spec, load_model(spec, Path(folder) / file)


def _table(rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    columns = {"route": pa.array(random.choice(ROUTES, rows, p=[0.6, 0.2, 0.1, 0.05, 0.05]), pa.string())}
    columns |= {name: pa.array(random.normal(size=rows) * 2) for name in NAMES}
    return pa.table(columns)


def _predictions(job: JobFolder, key: str, model_id: str = "") -> np.ndarray[Any, Any]:
    path = job.output_path(model_id, key) if model_id else job.paths.predictions / key
    with pq.ParquetFile(path) as file:
        return file.read()["prediction"].to_numpy()


def _files(job: JobFolder) -> dict[str, bytes]:
    return {name: content for name, content in job.files().items() if not name.startswith("scratch/")}


def test_categories_are_those_of_each_member(tmp_path: Path) -> None:
    features = (Feature("kind", "string"), Feature("x", "double"))
    members = {}
    for route, known in {"a": ["red", "green"], "b": ["blue", "green", "grey"]}.items():
        random = np.random.default_rng(len(known))
        kinds = pd.Categorical(random.choice(known, 200), categories=known)
        frame = pd.DataFrame({"kind": kinds, "x": random.normal(size=200)})
        file = tmp_path / f"{route}.json"
        model = xgboost.XGBRegressor(enable_categorical=True, n_estimators=5).fit(frame, kinds.codes + frame["x"])
        model.save_model(file)
        spec = spec_of(
            "xgboost-sklearn-json", model_id=route, features=features, tolerated_quarantine_fraction=0.9, key_columns=()
        )
        members[spec] = load_model(spec, file)
    table = pa.table(
        {"route": ["a", "b", "a", "b", "a"], "kind": ["red", "red", "blue", "grey", "green"], "x": np.arange(5.0)}
    )
    job = JobFolder(tmp_path / "ml")
    job.add_object("a.parquet", table)
    models, setup = fleet_in_process(FleetSpec("fleet", "route", {"a": "a", "b": "b"}), members)
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    (commit,) = job.commits()
    quarantine = pq.ParquetFile(job.paths.quarantine / commit.outputs[1].key).read()
    assert quarantine["row"].to_pylist() == [1, 2], "red is of the other member, and so is blue"
    assert "not among the categories of the model's training: 'red'" in quarantine["reason"][0].as_py()
    own = JobFolder(tmp_path / "own")
    own.add_object("a.parquet", table.take([0, 4]))
    score_in_process(own, {spec: model for spec, model in members.items() if spec.model_id == "a"})
    np.testing.assert_array_equal(_predictions(job, "a.parquet")[[0, 2]], _predictions(own, "a.parquet", "a"))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("libraries", [[name] for name in LIBRARIES] + MIXED)
@examples(quick=3, fuzz=100)
@given(
    rows=st.lists(st.sampled_from([1, 7, 32, 33, 150, 400]), min_size=1, max_size=3),
    seed=st.integers(0, 1_000),
    batch_rows=st.sampled_from([1, 31, 64, 200]),
    cached=st.sampled_from([1, 3, 100]),
)
def test_predictions_are_those_of_each_member_alone(
    libraries: list[str], rows: list[int], seed: int, batch_rows: int, cached: int
) -> None:
    members = dict(_member(libraries[index % len(libraries)], route) for index, route in enumerate(ROUTES))
    routes = dict(zip(ROUTES, [spec.model_id for spec in members], strict=True))
    fleet = FleetSpec("fleet", "route", routes)
    tables = {f"{number}.parquet": _table(count, seed + number) for number, count in enumerate(rows)}
    with TemporaryDirectory() as folder:
        jobs = {name: JobFolder(Path(folder) / name) for name in ("alone", "batches", "group", "parts", "members")}
        for name, job in jobs.items():
            for key, table in tables.items():
                for route in ROUTES if name == "members" else [""]:
                    own = table.filter(pa.array(table["route"].to_numpy() == route)) if route else table
                    job.add_object(f"{route}{key}", own, row_group_size=90)
        models, setup = fleet_in_process(fleet, members, cached=cached)
        if DEPENDENT.intersection(libraries):
            batch_rows = 0
        assert not any(done.failures for done in score_in_process(jobs["alone"], models, **setup))
        score_in_process(jobs["batches"], models, retry_rows=batch_rows, threads=2, **setup)
        engine = engine_in_process(jobs["group"], models, **setup)
        task = ScoreGroup(tuple(jobs["group"].objects))
        with commits_in_process(jobs["group"], models, **setup) as commits:
            commit_group_in_process(commits, task, engine.score_group(task), jobs["group"])
        engine = engine_in_process(jobs["parts"], models, **setup)
        parts = 3 if batch_rows else 1
        with commits_in_process(jobs["parts"], models, **setup) as commits:
            for item in jobs["parts"].objects:
                for part in range(parts):
                    engine.predict_part(PredictPart(item, part, parts, batch_rows=batch_rows))
                merge = MergeParts(item, parts, ())
                commit_in_process(commits, merge, engine.merge_parts(merge), jobs["parts"])
        expected = _files(jobs["alone"])
        for name in ("batches", "group", "parts"):
            assert _files(jobs[name]) == expected, name

        score_in_process(jobs["members"], members)
        for key, table in tables.items():
            found = _predictions(jobs["alone"], key)
            for route, model_id in routes.items():
                own = _predictions(jobs["members"], f"{route}{key}", model_id)
                np.testing.assert_array_equal(found[table["route"].to_numpy() == route], own)
