"""Columns of other types than a feature's, in files of several writers, up to the predictions."""

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from contract.catalog.model_fields import Feature
from contract.job.ledger import Commit
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models import load_model
from scoring.models.custom_code.payloads import write_request
from scoring.models.scikit_learn.joblib_file import SklearnModel
from scoring.models.trees import xgboost_booster
from tests.unit.scoring.models.loading import spec_of
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

ID = Feature("id", "int64")


def sklearn_spec(*features: Feature, **fields: Any) -> Any:
    return spec_of("sklearn-joblib", features=features, **fields)


def add_file(job: JobFolder, source: Path, key: str = "a.parquet") -> None:
    job.add_object(key, source.read_bytes())


def scored(job: JobFolder, spec: Any, model: Any, key: str = "a.parquet") -> tuple[list[Any], Commit]:
    """Score the folder's only object. Returns the predictions and the commit."""
    job.objects[:] = [item for item in job.objects if item.key == key]
    [done] = score_in_process(job, {spec: model}, batch_rows=2)
    assert done.failures == ()
    commit = job.commit(spec.model_id, key)
    return output(job, commit)["prediction"].to_pylist(), commit


def output(job: JobFolder, commit: Commit) -> pa.Table:
    return pq.ParquetFile(job.paths.predictions / commit.outputs[0].key).read()


def refused(job: JobFolder, spec: Any, model: Any) -> str:
    [done] = score_in_process(job, {spec: model})
    return "".join(failure.text for failure in done.failures)


def write_with_duckdb(path: Path) -> None:
    duckdb.sql(
        "SELECT * FROM (VALUES (1.10::DECIMAL(9,2), 7::DECIMAL(38,0)), (NULL, 9), (2.25, NULL)) AS t(x, n)"
    ).write_parquet(str(path))


def write_with_polars(path: Path) -> None:
    values = {"x": [Decimal("1.10"), None, Decimal("2.25")], "n": [Decimal(7), Decimal(9), None]}
    pl.DataFrame(values, schema={"x": pl.Decimal(9, 2), "n": pl.Decimal(38, 0)}).write_parquet(path)


def write_with_pyarrow(path: Path) -> None:
    x = pa.array([Decimal("1.10"), None, Decimal("2.25")], pa.decimal128(9, 2))
    n = pa.array([Decimal(7), Decimal(9), None], pa.decimal256(60, 0))
    pq.write_table(pa.table({"x": x, "n": n}), path, store_decimal_as_integer=True)


@pytest.mark.parametrize("write", [write_with_duckdb, write_with_polars, write_with_pyarrow])
def test_decimals_are_predicted_as_from_pandas(job: JobFolder, tmp_path: Path, write: Any) -> None:
    write(tmp_path / "d.parquet")
    add_file(job, tmp_path / "d.parquet")
    rows = np.array([[1.1, 7.0], [np.nan, 9.0], [2.25, np.nan]] * 20)
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=1).fit(rows, np.arange(60.0) % 3)
    found, commit = scored(
        job, spec := sklearn_spec(Feature("x", "double"), Feature("n", "int64")), SklearnModel(spec, model)
    )
    # Decimals are objects in pandas, which scikit-learn converts with float().
    assert found == model.predict(pd.read_parquet(tmp_path / "d.parquet").astype(float)).tolist()
    assert commit.counts == {
        "column 'x' has decimals that are read as the nearest double": 2,
        "column 'n' has decimals that are read as whole numbers": 2,
    }


def test_integers_that_pandas_made_doubles(job: JobFolder, tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, None, 3.0, float("nan")], "y": [1.0, 2.0, 2.5, 4.0]}).to_parquet(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet").replace_schema_metadata()
    table = table.set_column(0, "x", pa.array([1.0, np.nan, 3.0, None]))
    pq.write_table(table, tmp_path / "p.parquet")
    add_file(job, tmp_path / "p.parquet")
    frames: list[Any] = []

    class Recorder(BaseEstimator):
        def predict(self, frame: Any) -> Any:
            frames.append(frame)
            return frame["x"].fillna(-1).to_numpy(dtype=float)

    recorder = Recorder()
    recorder.feature_names_in_ = np.array(["x", "y"])
    features = (Feature("x", "int64"), Feature("y", "int32", nullable=False))
    spec = sklearn_spec(*features, tolerated_quarantine_fraction=0.5)
    model = SklearnModel(spec, recorder)
    frames.clear()
    found, commit = scored(job, spec, model)
    assert found == [1.0, -1.0, -1.0]
    assert commit.rows_quarantined == 1
    assert commit.counts["column 'x' has NaN that is read as null"] == 1
    # The same dtypes in each batch, those that pandas reads.
    assert {str(frame.dtypes.to_dict()) for frame in frames} == {"{'x': dtype('float64'), 'y': dtype('int32')}"}


def test_many_columns_that_are_read_in_one_way_have_one_note(job: JobFolder) -> None:
    names = [f"x{index:03}" for index in range(120)]
    job.add_object("a.parquet", pa.table({name: [1.0, 2.0] for name in names}))
    spec = model_spec(*(Feature(name, "int64") for name in names))
    [done] = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0])})
    assert done.failures == ()
    assert job.commit("code", "a.parquet").counts == {
        "each of 120 columns, such as 'x000', has floating-point numbers that are read as whole numbers": 240
    }


def write_with_fastparquet(path: Path) -> None:
    frame = pd.DataFrame({"plan": [b"a", b"b", b"\xff"]})
    fastparquet.write(str(path), frame, object_encoding="bytes")


def write_bytes_with_duckdb(path: Path) -> None:
    duckdb.sql("SELECT * FROM (VALUES ('a'::BLOB), ('b'), ('\\xFF'::BLOB)) AS t(plan)").write_parquet(str(path))


def write_broken_text(path: Path) -> None:
    pq.write_table(pa.table({"plan": pa.array([b"a", b"b", b"\xff"]).view(pa.string())}), path)


@pytest.mark.parametrize("write", [write_with_fastparquet, write_bytes_with_duckdb, write_broken_text])
def test_bytes_are_text_and_stay_bytes_in_the_output(job: JobFolder, tmp_path: Path, write: Any) -> None:
    write(tmp_path / "b.parquet")
    add_file(job, tmp_path / "b.parquet")
    frame = pd.DataFrame({"plan": ["a", "b"] * 10})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LinearRegression()).fit(frame, [1.0, 2.0] * 10)
    spec = sklearn_spec(Feature("plan", "string"), tolerated_quarantine_fraction=0.4)
    found, commit = scored(job, spec, SklearnModel(spec, model))
    assert (commit.rows_scored, commit.rows_quarantined) == (2, 1)
    assert found == pytest.approx(model.predict(frame[:2]).tolist())
    assert output(job, commit)["plan"].equals(pq.read_table(tmp_path / "b.parquet")["plan"].slice(0, 2))
    quarantined = pq.ParquetFile(job.paths.quarantine / commit.outputs[1].key).read()
    assert "that is not UTF-8" in quarantined["reason"][0].as_py()


TIMES = [pd.Timestamp("2026-07-01T10:00"), None, pd.Timestamp("2026-07-02T23:30")]


def hours(frame: Any) -> Any:
    return (frame["t"].dt.hour + frame["t"].dt.day * 100).fillna(-1).to_numpy(dtype=float).reshape(-1, 1)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
def test_frames_have_the_times_that_pandas_reads(job: JobFolder, tmp_path: Path, unit: str, zone: str) -> None:
    column = pd.Series(pd.to_datetime(TIMES)).dt.as_unit(unit)  # type: ignore[arg-type]
    frame = pd.DataFrame({"t": column.dt.tz_localize(zone) if zone else column})
    frame.to_parquet(tmp_path / "t.parquet")
    add_file(job, tmp_path / "t.parquet")
    columns = ColumnTransformer([("hours", FunctionTransformer(hours), ["t"])])
    model = make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2.0, 3.0])
    spec = sklearn_spec(Feature("t", f"timestamp[{unit}{f', tz={zone}' if zone else ''}]"))
    found, commit = scored(job, spec, SklearnModel(spec, model))
    assert found == pytest.approx(model.predict(pd.read_parquet(tmp_path / "t.parquet")).tolist())
    assert commit.counts == {}


def test_a_matrix_has_units_since_1970(job: JobFolder) -> None:
    days = pa.array([dt.date(2026, 7, 1), None, dt.date(1969, 12, 31)])
    job.add_object("a.parquet", pa.table({"d": days, "t": pa.array(TIMES, pa.timestamp("us", "UTC"))}))
    spec = model_spec(Feature("d", "date32[day]"), Feature("t", "timestamp[s, tz=Asia/Tokyo]"))
    seen: list[Any] = []
    model = FunctionModel(lambda matrix: seen.append(matrix) or np.zeros(len(matrix)))
    scored(job, spec, model)
    expected = [[20_635, 1_782_900_000], [np.nan, np.nan], [-1, 1_783_035_000]]
    np.testing.assert_array_equal(np.concatenate(seen), expected)


@pytest.mark.parametrize(
    ("found", "declared", "why"),
    [
        (
            pa.timestamp("us"),
            "timestamp[us, tz=Europe/Berlin]",
            "instants are unknown: write it with a",
        ),
        (pa.timestamp("us", "UTC"), "timestamp[us]", "which has no time zone: name the column's zone in the record"),
        (pa.timestamp("us", "UTC"), "date32[day]", "which has no time zone"),
        (pa.int64(), "timestamp[us]", "which cannot hold its values: convert the column or correct the record"),
        (pa.list_(pa.field("element", pa.string())), "list<float>[2]", "which cannot hold its values"),
    ],
)
def test_columns_that_do_not_say_the_same_are_refused(
    job: JobFolder, found: pa.DataType, declared: str, why: str
) -> None:
    job.add_object("a.parquet", pa.table({"x": pa.nulls(1, found)}))
    text = refused(job, model_spec(Feature("x", declared)), FunctionModel(lambda matrix: matrix[:, 0]))
    assert f"feature column 'x' is of type {found}, the record says {declared}, " in text
    assert why in text


EMBEDDINGS = [[0.1, 0.2, 0.3], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_embeddings_are_consecutive_inputs_of_a_matrix(job: JobFolder, tmp_path: Path) -> None:
    frame = pd.DataFrame({"e": EMBEDDINGS, "z": [1.0, 2.0, 3.0]})
    frame.to_parquet(tmp_path / "e.parquet")
    pl.DataFrame(
        {"e": EMBEDDINGS, "z": [1.0, 2.0, 3.0]}, schema={"e": pl.Array(pl.Float32, 3), "z": pl.Float64}
    ).write_parquet(tmp_path / "f.parquet")
    matrix = np.array([[*values, z] for values, z in zip(frame["e"], frame["z"], strict=True)])
    data = xgboost.DMatrix(np.repeat(matrix, 20, axis=0), label=np.repeat([1.0, 2.0, 3.0], 20))
    booster = xgboost.train({"max_depth": 2}, data, 5)
    booster.save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-ubj", features=(Feature("e", "list<float>[3]"), Feature("z", "double")))
    expected = booster.predict(xgboost.DMatrix(matrix)).tolist()
    for name in ("e", "f"):
        add_file(job, tmp_path / f"{name}.parquet", f"{name}.parquet")
        model = xgboost_booster.load(spec, tmp_path / "model.ubj")
        assert scored(job, spec, model, f"{name}.parquet")[0] == expected
    wrong = spec_of("xgboost-ubj", features=(Feature("e", "list<float>[4]"), Feature("z", "double")))
    with pytest.raises(ModelError, match="has 2 features with 5 values, it was trained on 4"):
        xgboost_booster.load(wrong, tmp_path / "model.ubj")


def test_embeddings_of_another_length_are_bad_rows(job: JobFolder) -> None:
    job.add_object("a.parquet", pa.table({"e": [[1.0, 2.0], [1.0], [1.0, None], None]}))
    spec = model_spec(Feature("e", "list<double>[2]"), tolerated_quarantine_fraction=0.5)
    found, commit = scored(job, spec, FunctionModel(lambda matrix: np.nan_to_num(matrix).sum(axis=1)))
    assert (found, commit.rows_quarantined) == ([3.0, 0.0], 2)


def test_models_on_named_columns_refuse_lists() -> None:
    model = LinearRegression().fit(pd.DataFrame({"e": [1.0, 2.0]}), [1.0, 2.0])
    with pytest.raises(ModelError, match="trained on a column per feature name, and its record declares \\['e'\\]"):
        SklearnModel(sklearn_spec(Feature("e", "list<float>[2]")), model)


def test_times_and_lists_are_read_from_text(job: JobFolder) -> None:
    rows: list[dict[str, Any]] = [
        {"d": "2026-07-01", "t": "2026-07-01T10:00:00", "z": "2026-07-01T12:00:00+02:00", "e": [0.5, 1]},
        {"d": None, "t": "2026-07-01 10:00:00.500000", "z": "2026-07-01", "e": ["NaN", 2.5]},
        {"d": "2026-07-02T00:00:00", "t": None, "z": None, "e": None},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    cells = [
        [("" if value is None else value if isinstance(value, str) else json.dumps(value)) for value in row.values()]
        for row in rows
    ]
    pd.DataFrame(cells, columns=list(rows[0])).to_csv(job.paths.root / "t.csv", index=False)
    job.add_object("a.jsonl", lines.encode())
    job.add_object("a.csv", (job.paths.root / "t.csv").read_bytes())
    features = (
        Feature("d", "date32[day]"),
        Feature("t", "timestamp[ms]"),
        Feature("z", "timestamp[s, tz=UTC]"),
        Feature("e", "list<float>[2]"),
    )
    seen: list[Any] = []
    spec = model_spec(*features)
    model = FunctionModel(lambda matrix: seen.append(matrix) or np.zeros(len(matrix)))
    for done in score_in_process(job, {spec: model}):
        assert done.failures == ()
    nan = np.nan
    expected = [
        [20_635, 1_782_900_000_000, 1_782_900_000, 0.5, 1],
        [nan, 1_782_900_000_500, 1_782_864_000, nan, 2.5],
        [20_636, nan, nan, nan, nan],
    ]
    for matrix in seen:
        np.testing.assert_array_equal(matrix, expected)
    for key in ("a.jsonl", "a.csv"):
        kinds = [str(field.type) for field in output(job, job.commit("code", key)).schema][:4]
        assert kinds == [
            "date32[day]",
            "timestamp[ms]",
            "timestamp[s, tz=UTC]",
            "fixed_size_list<element: float>[2]",
        ] or (kinds[2] == "timestamp[ms, tz=UTC]")


@pytest.mark.parametrize(
    ("declared", "cell"),
    [
        *(("date32[day]", cell) for cell in ("2026-07-01T10:00", "01.07.2026", "2026-13-01")),
        *(("timestamp[s]", cell) for cell in ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00.5", "1782900000")),
        *(("timestamp[ns]", cell) for cell in ("9999-12-31", "1600-01-01T00:00:00")),
        ("timestamp[s, tz=Europe/Berlin]", "2026-07-01T10:00:00"),
        *(
            ("list<float>[2]", cell)
            for cell in ("[1]", "[1, null]", "1", "[1, true]", "[1e400, 1]", "[1e300, 1]", "{}")
        ),
    ],
)
@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_other_cells_are_bad_rows(job: JobFolder, declared: str, cell: str, extension: str) -> None:
    good = {"d": "2026-07-01", "t": "2026-07-01T10:00:00", "l": "[1, 2]"}[declared[0]]
    good = good + "Z" if "tz" in declared else good
    if extension == "csv":
        content = "x\n" + "".join('"' + text + '"\n' for text in (good, cell, good))
    else:
        texts = (text if declared[0] == "l" else json.dumps(text) for text in (good, cell, good))
        content = "".join(f'{{"x": {text}}}\n' for text in texts)
    job.add_object(f"a.{extension}", content.encode())
    spec = model_spec(Feature("x", declared), tolerated_quarantine_fraction=0.4)
    _, commit = scored(job, spec, FunctionModel(lambda matrix: matrix[:, 0]), f"a.{extension}")
    assert (commit.rows_scored, commit.rows_quarantined) == (2, 1)
    quarantined = pq.ParquetFile(job.paths.quarantine / commit.outputs[1].key).read()
    assert f"'x' that is not {declared}" in quarantined["reason"][0].as_py()


def test_partition_values_can_be_dates(job: JobFolder) -> None:
    job.add_object("day=2026-07-01/a.parquet", pa.table({"id": [1, 2]}))
    spec = model_spec(ID, Feature("day", "date32[day]"), partition_columns=("day",))
    [done] = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 1])})
    assert done.failures == ()
    assert job.output("code", "day=2026-07-01/a.parquet")["prediction"].to_pylist() == [20_635.0] * 2


def test_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"feature 't' has the type .*, whose time zone is unknown: name a zone"):
        load_model(sklearn_spec(Feature("t", "timestamp[s, tz=Nowhere/Zone]")), tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_estimators_of_numbers_get_times_as_numbers(named: bool) -> None:
    days = np.array([[20_000, 1.0], [20_010, 2.0], [20_030, 5.0]])
    trained = pd.DataFrame(days, columns=["d", "x"]) if named else days
    model = LinearRegression().fit(trained, [1.0, 2.0, 4.0])
    loaded = SklearnModel(sklearn_spec(Feature("d", "date32[day]"), Feature("x", "double")), model)
    arrays = (pa.array(days[:, 0].astype("int32")).view(pa.date32()), pa.array(days[:, 1]))
    found = loaded.predict(FeatureBatch(("d", "x"), arrays, frozenset()))
    assert found.tolist() == pytest.approx(model.predict(trained).tolist())
    assert loaded.notes == ()
    seconds = SklearnModel(sklearn_spec(Feature("d", "timestamp[ns]"), Feature("x", "double")), model)
    assert "less than about 256 nanoseconds apart are equal" in seconds.notes[0]


def test_a_pickled_tree_wrapper_gets_times_as_numbers() -> None:
    frame = pd.DataFrame({"t": [1, 2, 3, 4] * 10, "x": [1.0, 2.0, 3.0, 4.0] * 10})
    model = xgboost.XGBRegressor(n_estimators=3).fit(frame, [1.0, 2.0, 3.0, 4.0] * 10)
    loaded = SklearnModel(sklearn_spec(Feature("t", "timestamp[s]"), Feature("x", "double")), model)
    arrays = (pa.array([1, 4], pa.timestamp("s")), pa.array([1.0, 4.0]))
    found = loaded.predict(FeatureBatch(("t", "x"), arrays, frozenset()))
    assert found.tolist() == model.predict(frame.iloc[[0, 3]]).tolist()


def test_lists_and_times_in_requests_of_custom_code() -> None:
    lists = pa.array([[0.5, 2.0], None], pa.list_(pa.float32(), 2))
    batch = FeatureBatch(("e", "t"), (lists, pa.array([0, 1_000], pa.timestamp("ms"))), frozenset())
    assert write_request(batch, "text/csv").splitlines() == [
        '"[0.5, 2.0]",1970-01-01 00:00:00',
        ",1970-01-01 00:00:01",
    ]
    assert json.loads(write_request(batch, "application/json")) == [
        [[0.5, 2.0], "1970-01-01T00:00:00"],
        [None, "1970-01-01T00:00:01"],
    ]
    matrix = np.load(io.BytesIO(write_request(batch, "application/x-npy")))
    np.testing.assert_array_equal(matrix, [[0.5, 2.0, 0], [np.nan, np.nan, 1_000]])
