"""Scoring objects in groups changes no byte of any output, no commit, and no reason.

Only how many bad rows were found until scoring ended may differ.
"""

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.row_blocks import join_in_blocks
from scoring.errors import BAD_ROWS
from scoring.models.scikit_learn.joblib_file import SklearnModel
from scoring.models.scikit_learn.library import is_without_own_code
from scoring.protocol import ObjectDone, ScoreGroup, ScoreObject
from scoring.worker.engine import Engine
from scoring.worker.object_predictor import ThreadSafeModel
from tests.unit.fuzzing import examples
from tests.unit.scoring.support.in_process import (
    FunctionModel,
    commit_group_in_process,
    commit_in_process,
    commits_in_process,
    engine_in_process,
    model_spec,
)
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.scoring.support.tree_models import TREES, load_trees

WIDTH = 7
NAMES = [f"x{index}" for index in range(WIDTH)]
_random = np.random.default_rng(3)
_TRAINING = _random.normal(size=(300, WIDTH)) * 3


class RowModel(FunctionModel):
    """A model that may predict rows of several objects in one call."""

    rows_are_independent = True


class FrameModel(RowModel):
    """A model that takes a frame, and whose predictions show the dtypes of its columns."""

    def predict(self, batch: FeatureBatch) -> Any:
        frame = batch.frame()
        kinds = sum(ord(dtype.kind) for dtype in frame.dtypes)
        return frame[batch.names[0]].fillna(-1).astype("float64").to_numpy() + kinds


def _refuses_large(matrix: Any) -> Any:
    if (np.nan_to_num(matrix) > 4).any():
        raise ValueError("too large")
    return matrix[:, 0] * 2


def _has_none_for_negative(matrix: Any) -> Any:
    return np.where(np.nan_to_num(matrix[:, 0]) < -2, np.nan, matrix[:, 0])


def _refuses_many(matrix: Any) -> Any:
    if len(matrix) > 32:
        raise SystemExit("a model may do anything")
    return matrix[:, 0]


def _scikit(estimator: Any, target: Any, method: str) -> Callable[[ModelSpec], Any]:
    estimator.fit(_TRAINING, target)
    return lambda spec: SklearnModel(spec, estimator)


_CLASSES = (_TRAINING[:, 0] + _TRAINING[:, 1] > 0).astype(int)
_LOGISTIC = _scikit(make_pipeline(StandardScaler(), LogisticRegression()), _CLASSES, "predict_proba")
_LINEAR = _scikit(LinearRegression(), _TRAINING @ _random.normal(size=WIDTH), "predict")

_DOUBLES = tuple(Feature(name, "double", nullable=False) for name in NAMES)
_NULLABLE = tuple(Feature(name, "double") for name in NAMES)
_OTHERS = (Feature("n", "int64"), Feature("flag", "bool"), Feature("x0", "double"))
_KINDS: dict[str, tuple[tuple[Feature, ...], str, Callable[[ModelSpec], Any]]] = {
    "logistic": (_DOUBLES, "predict_proba", _LOGISTIC),
    "linear": (_DOUBLES, "predict", _LINEAR),
    "xgboost": (_NULLABLE, "predict", lambda spec: load_trees("xgboost", spec)),
    "lightgbm": (_NULLABLE, "predict", lambda spec: load_trees("lightgbm", spec)),
    "catboost": (_NULLABLE, "predict_proba", lambda spec: load_trees("catboost", spec)),
    "frame": (_OTHERS, "predict", lambda _: FrameModel(lambda _: None)),
    "raises": ((Feature("x0", "double"),), "predict", lambda _: RowModel(_refuses_large)),
    "gives-nan": ((Feature("x0", "double"),), "predict", lambda _: RowModel(_has_none_for_negative)),
    "refuses-groups": ((Feature("x1", "double"),), "predict", lambda _: RowModel(_refuses_many)),
    "one-at-a-time": ((Feature("x0", "double"),), "predict", lambda _: FunctionModel(lambda m: m[:, 0] - m.mean())),
}

_SKLEARN = {"framework": "sklearn", "format": "sklearn-joblib", "model_file": "model.joblib"}


def _models(chosen: list[tuple[str, str, str]], partitions: bool) -> dict[ModelSpec, Any]:
    models = {}
    for number, (kind, output_format, columns) in enumerate(chosen):
        features, method, make = _KINDS[kind]
        spec = model_spec(
            *features,
            model_id=f"{kind}-{number}",
            **TREES.get(kind, _SKLEARN),
            method=method,
            output_format=output_format,
            columns=columns,
            key_columns=("id",),
            tolerated_quarantine_fraction=0.4 if number % 2 else 0.0,
            partition_columns=("day",) if partitions else (),
        )
        models[spec] = make(spec)
    return models


@st.composite
def _objects(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw an object: its extension and its content."""
    rows = draw(st.sampled_from([0, 1, 1, 2, 5, 31, 40]))
    values = np.random.default_rng(draw(st.integers(0, 50))).normal(size=(rows, WIDTH)) * draw(st.sampled_from([1, 3]))
    columns: dict[str, pa.Array] = {"id": pa.array(range(rows), pa.int64())}
    columns |= {name: pa.array(values[:, index]) for index, name in enumerate(NAMES)}
    if draw(st.booleans()):
        columns["x1"] = columns["x1"].cast(pa.float32())
    if rows and draw(st.integers(0, 3)) == 0:
        columns["x0"] = pa.array([None, *columns["x0"].to_pylist()[1:]], pa.float64())
    nulls = draw(st.booleans())
    kind = draw(st.sampled_from([pa.int64(), pa.int32(), pa.float64()]))
    columns["n"] = pa.array([None if nulls and row % 3 == 0 else row for row in range(rows)], kind)
    columns["flag"] = pa.array([None if nulls and row % 3 == 1 else row % 2 == 0 for row in range(rows)], pa.bool_())
    columns["note"] = pa.array([f"note {row}" for row in range(rows)], pa.string())
    if draw(st.integers(0, 7)) == 0:
        del columns["x1"]
    table = pa.table(columns)
    extension = draw(st.sampled_from(["parquet", "parquet", "csv", "jsonl"]))
    if draw(st.integers(0, 9)) == 0:
        return extension, draw(st.sampled_from([b"", b"neither\x00of\xfftheseformats"]))
    buffer = io.BytesIO()
    if extension == "parquet":
        pq.write_table(table, buffer, row_group_size=draw(st.sampled_from([7, 100])))
    elif extension == "csv":
        table.to_pandas().to_csv(buffer, index=False)
        if rows and draw(st.integers(0, 3)) == 0:
            buffer.write(b"9,not,a,number,1,1,1,1,1,True,x\n1,2\n")
    else:
        table.to_pandas().to_json(buffer, orient="records", lines=True, double_precision=15)
        if rows and draw(st.integers(0, 3)) == 0:
            buffer.write(b'{"id": 1, "late": 1}\nnot json\n')
    return extension, buffer.getvalue()


def _job(root: Path, objects: list[tuple[str, bytes]], partitions: bool) -> JobFolder:
    job = JobFolder(root)
    for number, (extension, content) in enumerate(objects):
        job.add_object(f"day=2026-01-{number % 3 + 1:02}/{number}.{extension}", content)
    return job


def _ends(ended: list[ObjectDone]) -> dict[str, Any]:
    def failures(done: ObjectDone) -> list[tuple[Any, ...]]:
        return sorted((each.model_id, each.kind, BAD_ROWS.sub("", each.text)) for each in done.failures)

    return {done.key: (done.rows, failures(done)) for done in ended}


_CHOSEN = st.tuples(
    st.sampled_from(sorted(_KINDS)),
    st.sampled_from(["parquet", "parquet", "csv", "jsonl"]),
    st.sampled_from(["all", "keys"]),
)


@examples(quick=25, fuzz=500)
@given(
    st.lists(_objects(), min_size=2, max_size=6),
    st.lists(_CHOSEN, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.sampled_from([64, 65_536]),
)
def test_outputs_and_commits_do_not_depend_on_the_groups(
    objects: list[tuple[str, bytes]],
    chosen: list[tuple[str, str, str]],
    random: Any,
    partitions: bool,
    batch_rows: int,
) -> None:
    models = _models(chosen, partitions)
    with TemporaryDirectory() as folder:
        alone = _job(Path(folder) / "alone", objects, partitions)
        together = _job(Path(folder) / "together", objects, partitions)
        engine = engine_in_process(alone, models, batch_rows=batch_rows)
        with commits_in_process(alone, models) as commits:
            tasks = [ScoreObject(item, 1) for item in alone.objects]
            expected = [commit_in_process(commits, task, engine.score(task), alone) for task in tasks]

        engine = engine_in_process(together, models, batch_rows=batch_rows)
        waiting = list(together.objects)
        random.shuffle(waiting)
        found: list[ObjectDone] = []
        with commits_in_process(together, models) as commits:
            while waiting:
                size = random.randint(1, len(waiting))
                task = ScoreGroup(tuple(waiting[:size]))
                del waiting[:size]
                found += commit_group_in_process(commits, task, engine.score_group(task), together)

        assert _ends(found) == _ends(expected)
        assert together.files() == alone.files()


@pytest.mark.parametrize("library", sorted(TREES))
def test_trees_predict_the_rows_of_several_objects_in_one_call(library: str) -> None:
    spec = model_spec(*_NULLABLE, **TREES[library])
    model = ThreadSafeModel(spec, load_trees(library, spec))
    assert model.predicts_together
    values = np.where(_random.random((300, WIDTH)) < 0.1, np.nan, _random.normal(size=(300, WIDTH)) * 3)
    whole = FeatureBatch(tuple(NAMES), tuple(pa.array(column) for column in values.T), frozenset())
    together = model.predict(whole)
    for start, size in ((0, 1), (7, 45), (100, 200)):
        np.testing.assert_array_equal(model.predict(whole.slice(start, size)), together[start : start + size])


def _engine_of_two(job: JobFolder, model: Any, rows: int = 20) -> tuple[Engine, ScoreGroup]:
    for key in ("a.parquet", "b.parquet"):
        job.add_object(key, pa.table({"flight_id": np.arange(rows, dtype=np.float64)}))
    return engine_in_process(job, {model_spec(): model}), ScoreGroup(tuple(job.objects))


def test_model_predicts_a_group_in_one_call(job: JobFolder) -> None:
    calls: list[int] = []

    def predict(matrix: Any) -> Any:
        calls.append(len(matrix))
        return matrix[:, 0]

    engine, task = _engine_of_two(job, RowModel(predict))
    written = engine.score_group(task)

    assert [each.rows for each in written.objects] == [20, 20]
    assert calls == [64], "each object takes a whole block of 32 rows"


@pytest.mark.parametrize("error", [ValueError("bad object"), SystemExit(1), MemoryError()])
def test_failing_object_is_found_and_its_neighbour_is_written(job: JobFolder, error: BaseException) -> None:
    def predict(matrix: Any) -> Any:
        if (matrix[:, 0] >= 1_000).any():
            raise error
        return matrix[:, 0]

    job.add_object("bad.parquet", pa.table({"flight_id": np.array([1.0, 1_000.0])}))
    engine, task = _engine_of_two(job, RowModel(predict))
    written = engine.score_group(task)

    assert [bool(each.failures) for each in written.objects] == [True, False, False]
    assert [len(each.outputs) for each in written.objects] == [0, 1, 1]


def test_objects_of_more_rows_than_a_batch_are_predicted_alone(job: JobFolder) -> None:
    calls: list[int] = []

    def predict(matrix: Any) -> Any:
        calls.append(len(matrix))
        return matrix[:, 0]

    job.add_object("large.parquet", pa.table({"flight_id": np.arange(200, dtype=np.float64)}))
    for key in ("a.parquet", "b.parquet", "c.parquet"):
        job.add_object(key, pa.table({"flight_id": np.arange(20, dtype=np.float64)}))
    engine = engine_in_process(job, {model_spec(): RowModel(predict)}, batch_rows=96)
    engine.score_group(ScoreGroup(tuple(job.objects)))

    assert calls == [96, 96, 32, 96], "the batches of the large object, then one of the three small ones"


def _shifted(matrix: Any) -> Any:
    return matrix - matrix.mean()


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (make_pipeline(StandardScaler(), LinearRegression()), True),
        (ColumnTransformer([("scale", StandardScaler(), [0])]), True),
        (make_pipeline(FunctionTransformer(_shifted), LinearRegression()), False),
        (ColumnTransformer([("shift", FunctionTransformer(_shifted), [0])]), False),
    ],
)
def test_estimators_with_functions_of_the_user_get_a_call_per_object(estimator: Any, expected: bool) -> None:
    assert is_without_own_code(estimator) is expected


def test_last_digits_do_not_depend_on_the_group() -> None:
    """Without blocks, OpenBLAS computes the last rows of a call in another way than those before."""
    spec = model_spec(*_DOUBLES, framework="sklearn", format="sklearn-joblib", model_file="model.joblib")
    model = ThreadSafeModel(spec, _LINEAR(spec))
    columns = [pa.array(_random.normal(size=400)) for _ in NAMES]
    whole = FeatureBatch(tuple(NAMES), tuple(columns), frozenset())
    for size in range(1, 70):
        start = int(_random.integers(0, 400 - size))
        alone = whole.slice(start, size)
        together = join_in_blocks([whole.slice(0, 5), alone, whole.slice(300, 11)], None)
        found = model.predict_as_given(together)[32 : 32 + size]
        np.testing.assert_array_equal(found, model.predict(alone))
