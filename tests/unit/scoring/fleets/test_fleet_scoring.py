"""A fleet scores each row with the model that the row's route names, into one output per object."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.job.fleet import FleetSpec
from contract.status import FailureKind
from scoring.errors import ConfigurationError, ModelError
from scoring.protocol import MergeParts, PredictPart, ScoreGroup, ScoreObject
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import (
    FunctionModel,
    commit_group_in_process,
    commit_in_process,
    commits_in_process,
    engine_in_process,
    model_spec,
    score_in_process,
)
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.scoring.support.text_and_parquet import object_content, read_output

X = Feature("x", "double")
FACTORS = {"UA": 2.0, "DL": 3.0, "AA": 5.0}
CARRIERS = [*FACTORS, "UA", None, "ZZ"]


class RowModel(FunctionModel):
    rows_are_independent = True


def _times(factor: float) -> RowModel:
    return RowModel(lambda matrix: matrix[:, 0] * factor)


def _members(**fields: Any) -> dict[ModelSpec, Any]:
    return {
        model_spec(X, model_id=f"delays-{route.lower()}", version=f"v{factor:g}", **fields): _times(factor)
        for route, factor in FACTORS.items()
    }


def _fleet(unmatched: str = "quarantine", **fields: Any) -> FleetSpec:
    routes = {route: f"delays-{route.lower()}" for route in FACTORS}
    return FleetSpec("delays", "carrier", routes, unmatched, **fields)


def _table(rows: int, first: int = 0, carriers: list[str | None] | None = None) -> pa.Table:
    numbers = np.arange(first, first + rows)
    names = carriers or list(FACTORS)
    routes = pa.array([names[number % len(names)] for number in numbers], pa.string())
    return pa.table(
        {"id": numbers, "carrier": routes, "x": numbers / 4, "note": pa.array([f"n{number}" for number in numbers])}
    )


def _outputs(job: JobFolder) -> dict[str, bytes]:
    return {name: content for name, content in job.files().items() if "scratch" not in name}


def _expected(table: pa.Table) -> list[float | None]:
    pairs = zip(table["carrier"].to_pylist(), table["x"].to_pylist(), strict=True)
    return [FACTORS[carrier] * x if carrier in FACTORS else None for carrier, x in pairs]


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("columns", ["all", "keys"])
@pytest.mark.parametrize("row_number_column", ["", "row"])
def test_each_row_has_the_prediction_of_its_model(
    job: JobFolder, extension: str, output_format: str, columns: str, row_number_column: str
) -> None:
    fields = {"output_format": output_format, "columns": columns, "row_number_column": row_number_column}
    models, setup = fleet_in_process(_fleet(), _members(key_columns=("id",), **fields))
    job.add_object(f"a.{extension}", object_content(_table(100), extension))
    (done,) = score_in_process(job, models, batch_rows=48, **setup)

    assert done.failures == ()
    name = f"a.{extension}" if extension == output_format else f"a.{extension}.{output_format}"
    found = read_output(job.paths.predictions / name)
    kept = ["id", "carrier", "x", "note"] if columns == "all" else ["id"]
    added = ["prediction", "model_id", "model_version", *filter(None, [row_number_column])]
    assert found.column_names == [*kept, *added]
    assert found["prediction"].to_pylist() == _expected(_table(100))
    carriers = _table(100)["carrier"].to_pylist()
    assert found["model_id"].to_pylist() == [f"delays-{carrier.lower()}" for carrier in carriers]
    assert found["model_version"].to_pylist() == [f"v{FACTORS[carrier]:g}" for carrier in carriers]
    (commit,) = job.commits()
    assert (commit.model_id, commit.rows_in, commit.rows_scored) == ("delays", 100, 100)
    assert [(output.kind, output.key) for output in commit.outputs] == [("predictions", name)]
    if extension == output_format == "parquet" and columns == "all":
        assert commit.writer == "parquet, input copied"


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("unmatched", ["quarantine", "skip", "model:delays-dl"])
def test_rows_without_a_model_follow_the_rule(job: JobFolder, extension: str, unmatched: str) -> None:
    members = _members(tolerated_quarantine_fraction=0.5, row_number_column="row")
    models, setup = fleet_in_process(_fleet(unmatched), members)
    table = _table(60, carriers=CARRIERS)
    job.add_object(f"a.{extension}", object_content(table, extension))
    (done,) = score_in_process(job, models, batch_rows=32, **setup)

    assert done.failures == ()
    found = read_output(job.paths.predictions / (f"a.{extension}" + ("" if extension == "parquet" else ".parquet")))
    rest = [index for index, carrier in enumerate(table["carrier"].to_pylist()) if carrier not in FACTORS]
    (commit,) = job.commits()
    if unmatched.startswith("model"):
        assert found["prediction"].to_pylist() == [
            x * 3 if value is None else value for value, x in zip(_expected(table), table["x"].to_pylist(), strict=True)
        ]
        assert set(found["model_id"].take(rest).to_pylist()) == {"delays-dl"}
        assert (commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (60, 0, 0)
        return
    assert found["row"].to_pylist() == [index for index in range(60) if index not in rest]
    assert found["prediction"].to_pylist() == [value for value in _expected(table) if value is not None]
    if unmatched == "skip":
        assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (60, 40, 0, 20)
        assert [output.kind for output in commit.outputs] == ["predictions"]
        return
    assert (commit.rows_in, commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (60, 40, 20, 0)
    quarantine = read_output(job.paths.quarantine / commit.outputs[1].key)
    assert commit.outputs[1].key.startswith("model_id=delays/")
    assert quarantine["row"].to_pylist() == rest
    assert quarantine["reason"].to_pylist()[:2] == [
        "column 'carrier' is null, so the row has no model of fleet 'delays'",
        "column 'carrier' has a route of no model of fleet 'delays': 'ZZ'",
    ]


def test_an_unmatched_row_fails_the_object_if_none_is_tolerated(job: JobFolder) -> None:
    models, setup = fleet_in_process(_fleet(), _members())
    job.add_object("a.parquet", _table(6, carriers=CARRIERS))
    (done,) = score_in_process(job, models, **setup)
    (failure,) = done.failures
    assert failure.kind is FailureKind.DATA
    assert "row 4 cannot be scored: column 'carrier' is null" in failure.text
    remedy = "change `unmatched` with `fleetscore fleets set delays`, or set tolerated_quarantine_fraction"
    assert f"correct the data, {remedy}" in failure.text
    job.objects.clear()
    job.add_object("b.parquet", _table(3, carriers=["UA", "ZZ", "DL"]))
    (done,) = score_in_process(job, models, **setup)
    assert "row 1 cannot be scored: column 'carrier' has a route of no model" in done.failures[0].text
    assert f"register a model for the route, {remedy}" in done.failures[0].text
    assert not job.commits()


@pytest.mark.parametrize("extension", ["parquet", "csv"])
@pytest.mark.parametrize("unmatched", ["quarantine", "skip", "model:delays-dl"])
def test_groups_parts_batches_and_the_cache_change_no_byte(tmp_path: Path, extension: str, unmatched: str) -> None:
    members = _members(tolerated_quarantine_fraction=1.0)
    jobs = {name: JobFolder(tmp_path / name) for name in ("alone", "batches", "group", "threads", "parts")}
    for job in jobs.values():
        for number, (rows, carriers) in enumerate([(5, None), (40, CARRIERS), (1, None), (70, None), (3, ["ZZ"])]):
            job.add_object(f"{number}.{extension}", object_content(_table(rows, number * 3, carriers), extension))
    fleets = {name: fleet_in_process(_fleet(unmatched), members, cached=1 if name != "alone" else 9) for name in jobs}
    for name, options in {
        "alone": {},
        "batches": {"retry_rows": 3},
        "threads": {"threads": 3, "retry_rows": 32},
    }.items():
        models, setup = fleets[name]
        assert all(not done.failures for done in score_in_process(jobs[name], models, **options, **setup))  # type: ignore[arg-type]
    models, setup = fleets["group"]
    engine, task = engine_in_process(jobs["group"], models, **setup), ScoreGroup(tuple(jobs["group"].objects))
    with commits_in_process(jobs["group"], models, **setup) as commits:
        commit_group_in_process(commits, task, engine.score_group(task), jobs["group"])
    expected = _outputs(jobs["alone"])
    assert expected == _outputs(jobs["batches"]) == _outputs(jobs["group"]) == _outputs(jobs["threads"])
    assert len(expected) == (12 if unmatched == "quarantine" else 10)
    if extension == "parquet":
        models, setup = fleets["parts"]
        engine = engine_in_process(jobs["parts"], models, **setup)
        with commits_in_process(jobs["parts"], models, **setup) as commits:
            for item in jobs["parts"].objects:
                assert not any(
                    engine.predict_part(PredictPart(item, part, 3, batch_rows=16)).failures for part in range(3)
                )
                merge = MergeParts(item, 3, (), batch_rows=7)
                commit_in_process(commits, merge, engine.merge_parts(merge), jobs["parts"])
        assert expected == _outputs(jobs["parts"])


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint64"])
def test_routes_are_whole_numbers(job: JobFolder, kind: str) -> None:
    members = {
        model_spec(X, model_id=f"store-{store}", tolerated_quarantine_fraction=0.5): _times(store)
        for store in (7, -1, 1_000)
    }
    routes = {"7": "store-7", "-1": "store--1", "1000": "store-1000"}
    models, setup = fleet_in_process(FleetSpec("stores", "store", routes, route_type="int64"), members)
    stores = [7, 7, None, 8] if kind.startswith("u") or kind == "int8" else [7, -1, None, 1_000]
    job.add_object("a.parquet", pa.table({"store": pa.array(stores, kind), "x": [1.0, 2.0, 3.0, 4.0]}))
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    found = read_output(job.paths.predictions / "a.parquet")
    assert found["prediction"].to_pylist() == ([7.0, 14.0] if 8 in stores else [7.0, -2.0, 4_000.0])


def test_a_route_may_be_a_feature_of_the_models(job: JobFolder) -> None:
    features = (Feature("store", "int32"), X)
    members = {
        model_spec(*features, model_id=f"store-{store}"): RowModel(lambda matrix: matrix.sum(axis=1))
        for store in (7, 9)
    }
    fleet = FleetSpec("stores", "store", {"7": "store-7", "9": "store-9"}, route_type="int64")
    models, setup = fleet_in_process(fleet, members)
    job.add_object("a.parquet", pa.table({"store": pa.array([7, 9], pa.int32()), "x": [1.0, 2.0]}))
    score_in_process(job, models, **setup)
    assert read_output(job.paths.predictions / "a.parquet")["prediction"].to_pylist() == [8.0, 11.0]


def test_routes_in_a_column_of_another_type_are_refused() -> None:
    members = {model_spec(X, model_id="one"): _times(1)}
    with pytest.raises(ConfigurationError, match="its routes are in column 'x' of type double, expected string"):
        fleet_in_process(FleetSpec("f", "x", {"1.0": "one"}), members)


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("unmatched", ["quarantine", "skip", "model:delays-dl"])
def test_a_route_may_be_a_part_of_the_key(job: JobFolder, extension: str, unmatched: str) -> None:
    members = _members(tolerated_quarantine_fraction=1.0)
    models, setup = fleet_in_process(_fleet(unmatched, in_key=True), members)
    folders = ["UA", "DL", "ZZ", "__HIVE_DEFAULT_PARTITION__"]
    for folder in folders:
        content = object_content(_table(40).drop(["carrier"]), extension)
        job.add_object(f"carrier={folder}/a.{extension}", content)
    ended = score_in_process(job, models, **setup)
    assert all(not done.failures for done in ended)
    counts = {commit.object.split("/")[0].removeprefix("carrier="): commit for commit in job.commits()}
    expected = {"quarantine": (0, 40, 0), "skip": (0, 0, 40), "model:delays-dl": (40, 0, 0)}[unmatched]
    for folder in folders:
        commit = counts[folder]
        found = (commit.rows_scored, commit.rows_quarantined, commit.rows_skipped)
        assert found == ((40, 0, 0) if folder in FACTORS else expected)
    suffix = "" if extension == "parquet" else ".parquet"
    table = read_output(job.paths.predictions / f"carrier=DL/a.{extension}{suffix}")
    assert table.column_names == ["id", "x", "note", "prediction", "model_id", "model_version"]
    assert table["prediction"].to_pylist() == [x * 3 for x in table["x"].to_pylist()]


def test_bad_rows_are_explained_with_their_model(job: JobFolder) -> None:
    def refuse(matrix: Any) -> Any:
        if (matrix[:, 0] > 8).any():
            raise ValueError("too large")
        return matrix[:, 0]

    fields: dict[str, Any] = {"tolerated_quarantine_fraction": 0.5}
    members = {**_members(**fields), model_spec(X, model_id="picky", **fields): RowModel(refuse)}
    fleet = FleetSpec("delays", "carrier", {"UA": "delays-ua", "PP": "picky"})
    models, setup = fleet_in_process(fleet, members)
    table = _table(60, carriers=["UA", "PP"])
    job.add_object("a.parquet", table)
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    (commit,) = job.commits()
    quarantine = read_output(job.paths.quarantine / commit.outputs[1].key)
    bad = [row for row in range(60) if row % 2 and row / 4 > 8]
    assert quarantine["row"].to_pylist() == bad
    assert "model 'picky': its predict failed for this row (ValueError" in quarantine["reason"][0].as_py()
    assert commit.rows_scored == 60 - len(bad)


def test_predictions_of_nan_are_bad_rows(job: JobFolder) -> None:
    members = _members(tolerated_quarantine_fraction=0.5)
    ua = next(iter(members))
    members[ua] = RowModel(lambda matrix: np.where(matrix[:, 0] > 5, np.nan, matrix[:, 0]))
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(60))
    score_in_process(job, models, **setup)
    (commit,) = job.commits()
    bad = [row for row in range(60) if row % 3 == 0 and row / 4 > 5]
    assert read_output(job.paths.quarantine / commit.outputs[1].key)["row"].to_pylist() == bad


def _breaks() -> Any:
    raise ModelError("model 'delays-dl': 'model.json' cannot be loaded as xgboost-json (ValueError): check the record")


def test_a_member_that_cannot_be_loaded_fails_the_objects_that_need_it(job: JobFolder) -> None:
    members = {spec: _breaks if spec.model_id == "delays-dl" else model for spec, model in _members().items()}
    models, setup = fleet_in_process(_fleet(), members)
    for carrier in ("UA", "DL", "AA"):
        job.add_object(f"{carrier}.parquet", _table(10, carriers=[carrier]))
    engine, task = engine_in_process(job, models, **setup), ScoreGroup(tuple(job.objects))
    with commits_in_process(job, models, **setup) as commits:
        ended = commit_group_in_process(commits, task, engine.score_group(task), job)
    failed = {done.key: done.failures for done in ended if done.failures}
    assert list(failed) == ["DL.parquet"]
    (failure,) = failed["DL.parquet"]
    assert (failure.model_id, failure.kind) == ("delays", FailureKind.MODEL)
    assert "route 'DL': model 'delays-dl': 'model.json' cannot be loaded" in failure.text
    assert {commit.object for commit in job.commits()} == {"UA.parquet", "AA.parquet"}


@pytest.mark.parametrize("output", [pa.field("score", pa.float64()), pa.field("prediction", pa.int64())])
def test_a_member_with_other_columns_fails_the_objects_that_need_it(job: JobFolder, output: pa.Field) -> None:
    members = _members()
    other = next(spec for spec in members if spec.model_id == "delays-dl")
    members[other].outputs = (output,)
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(10))
    job.add_object("b.parquet", _table(10, carriers=["UA", "AA"]))
    ended = score_in_process(job, models, **setup)
    assert ended[1].failures == ()
    (failure,) = ended[0].failures
    name = f"its prediction columns are '{output.name}' ({output.type})"
    assert f"route 'DL': model 'delays-dl': {name}, those of model 'delays-ua' of its fleet are" in failure.text
    assert "register a version that predicts the same columns" in failure.text


@pytest.mark.parametrize("first", ["double", "float"])
def test_models_of_several_formats_that_predict_floats_are_written_as_doubles(job: JobFolder, first: str) -> None:
    double = RowModel(lambda matrix: matrix[:, 0] * 0.1)
    single = RowModel(lambda matrix: (matrix[:, 0] * 0.1).astype(np.float32), pa.float32())
    formats = {"xgboost-ubj": single, "sklearn-joblib": double}
    order = sorted(formats, reverse=first == "float")
    members = {
        model_spec(X, model_id=f"delays-{route.lower()}", format=name, framework=name.split("-")[0]): formats[name]
        for route, name in zip(FACTORS, [*order, order[0]], strict=True)
    }
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("both.parquet", _table(9))
    job.add_object("one.parquet", _table(9, carriers=["DL"]))
    assert not any(done.failures for done in score_in_process(job, models, **setup))
    for name, routes in {"both": list(FACTORS), "one": ["DL"]}.items():
        found = read_output(job.paths.predictions / f"{name}.parquet")["prediction"]
        assert found.type == pa.float64()
        kinds = {route: members[spec].outputs[0].type for route, spec in zip(FACTORS, members, strict=True)}
        expected = [
            float(np.float32(row / 4 * 0.1)) if kinds[routes[row % len(routes)]] == pa.float32() else row / 4 * 0.1
            for row in range(9)
        ]
        assert found.to_pylist() == expected


def test_models_of_one_format_keep_the_precision_of_their_predictions(job: JobFolder) -> None:
    members = {spec: RowModel(lambda matrix: matrix[:, 0].astype(np.float32), pa.float32()) for spec in _members()}
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(9))
    assert not any(done.failures for done in score_in_process(job, models, **setup))
    assert read_output(job.paths.predictions / "a.parquet")["prediction"].type == pa.float32()


def test_the_columns_are_those_of_the_first_member_that_can_be_loaded(job: JobFolder) -> None:
    members = {spec: _breaks if spec.model_id == "delays-ua" else model for spec, model in _members().items()}
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(10, carriers=["DL", "AA"]))
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    with pytest.raises(ModelError, match="cannot be loaded"):
        fleet_in_process(_fleet(), dict.fromkeys(_members(), _breaks))


def test_a_member_that_gives_a_wrong_shape_is_named(job: JobFolder) -> None:
    members = _members()
    other = next(spec for spec in members if spec.model_id == "delays-dl")
    members[other] = RowModel(lambda matrix: matrix[:3, 0])
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(10))
    (done,) = score_in_process(job, models, **setup)
    assert "model 'delays-dl': predict gave predictions of shape 3" in done.failures[0].text


def test_members_are_loaded_when_a_row_needs_them_and_dropped_when_others_do(job: JobFolder) -> None:
    loaded: list[str] = []

    def load(spec: ModelSpec, model: Any) -> Any:
        def record() -> Any:
            loaded.append(spec.model_id)
            return model

        return record

    members = {spec: load(spec, model) for spec, model in _members().items()}
    models, setup = fleet_in_process(_fleet(), members, cached=2)
    assert loaded == ["delays-ua"]
    for number, carrier in enumerate(["DL", "UA", "AA", "UA", "DL"]):
        job.add_object(f"{number}.parquet", _table(10, carriers=[carrier]))
    score_in_process(job, models, **setup)
    assert loaded == ["delays-ua", "delays-dl", "delays-aa", "delays-dl"]


def test_members_that_need_all_rows_of_an_object_get_one_call_per_object(job: JobFolder) -> None:
    calls: list[int] = []

    def predict(matrix: Any) -> Any:
        calls.append(len(matrix))
        return matrix[:, 0] - matrix[:, 0].mean()

    members = {spec: FunctionModel(predict) for spec in _members()}
    models, setup = fleet_in_process(_fleet(), members)
    for key in ("a.parquet", "b.parquet"):
        job.add_object(key, _table(30))
    engine = engine_in_process(job, models, **setup)
    engine.score_group(ScoreGroup(tuple(job.objects)))
    assert calls == [10] * 6


@pytest.mark.parametrize("together", [False, True])
def test_rows_to_skip_cost_no_second_prediction(job: JobFolder, together: bool) -> None:
    calls: list[int] = []

    def predict(matrix: Any) -> Any:
        calls.append(len(matrix))
        return matrix[:, 0]

    members = {spec: RowModel(predict) for spec in _members()}
    models, setup = fleet_in_process(_fleet("skip"), members)
    for key in ("a.parquet", "b.parquet"):
        job.add_object(key, _table(30, carriers=CARRIERS))
    engine = engine_in_process(job, models, **setup)
    if together:
        written = engine.score_group(ScoreGroup(tuple(job.objects))).objects
    else:
        written = tuple(engine.score(ScoreObject(item, 1)) for item in job.objects)
    assert calls == [32] * (3 if together else 6)
    for each in written:
        (output,) = each.outputs
        assert (output.rows_scored, output.rows_skipped) == (20, 10)
        assert output.writer == "parquet, encoded: rows of no model are skipped"


def test_members_that_allow_one_call_at_a_time_get_one(job: JobFolder) -> None:
    inside = threading.Lock()

    def predict(matrix: Any) -> Any:
        assert inside.acquire(blocking=False), "two threads call the member"
        try:
            return matrix[:, 0] * 1.0
        finally:
            inside.release()

    members = {spec: RowModel(predict) for spec in _members()}
    for model in members.values():
        model.concurrent = False
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(4_000), row_group_size=200)
    (done,) = score_in_process(job, models, threads=4, batch_rows=32, **setup)
    assert done.failures == ()


def test_an_object_without_data_is_committed_without_an_output(job: JobFolder) -> None:
    models, setup = fleet_in_process(_fleet("skip"), _members())
    job.add_object("a.csv", b"")
    job.add_object("b.parquet", _table(0))
    ended = score_in_process(job, models, **setup)
    assert all(not done.failures for done in ended)
    assert {(commit.object, commit.rows_in, len(commit.outputs)) for commit in job.commits()} == {
        ("a.csv", 0, 0),
        ("b.parquet", 0, 1),
    }
    assert read_output(job.paths.predictions / "b.parquet").column_names[-2:] == ["model_id", "model_version"]


def test_input_columns_with_the_names_of_added_ones_fail_the_object(job: JobFolder) -> None:
    models, setup = fleet_in_process(_fleet(), _members())
    for name in ("model_id", "model_version", "prediction"):
        job.add_object(f"{name}.parquet", _table(5).append_column(name, pa.array(range(5))))
    ended = score_in_process(job, models, **setup)
    for done in ended:
        (failure,) = done.failures
        assert failure.kind is FailureKind.CONFIGURATION
        assert repr(done.key.removesuffix(".parquet")) in failure.text
        assert "set columns to 'keys' in the records of the fleet's models" in failure.text


def test_an_object_whose_routes_cannot_be_read_fails_with_what_to_do(job: JobFolder) -> None:
    models, setup = fleet_in_process(_fleet(), _members())
    job.add_object("number.parquet", pa.table({"carrier": [7], "x": [1.0]}))
    job.add_object("none.parquet", pa.table({"Carrier": ["UA"], "x": [1.0]}))
    found = {done.key: done.failures[0].text for done in score_in_process(job, models, **setup)}
    assert found["number.parquet"] == (
        "object 'number.parquet' does not suit fleet 'delays': route column 'carrier' is of type int64, the fleet's "
        "record says string, which cannot hold its values: convert the column or correct the fleet's record"
    )
    assert "route column 'carrier' of type string is missing (it has 'Carrier': names are" in found["none.parquet"]
    assert found["none.parquet"].endswith("add it to the object or correct the fleet's record")


def test_a_route_in_the_key_named_like_an_added_column_fails_the_object(job: JobFolder) -> None:
    routes = {route: f"delays-{route.lower()}" for route in FACTORS}
    models, setup = fleet_in_process(FleetSpec("delays", "model_version", routes, in_key=True), _members())
    job.add_object("model_version=UA/a.parquet", _table(5))
    (done,) = score_in_process(job, models, **setup)
    (failure,) = done.failures
    assert "the prediction columns ['model_version'] have the names of folders in the output's key" in failure.text


def test_labels_of_text_are_scored(job: JobFolder) -> None:
    members = {}
    for spec, words in zip(_members(), (("no", "yes"), ("never", "sometimes"), ("a", "b")), strict=True):
        labels = np.array(words)
        members[spec] = RowModel(lambda matrix, labels=labels: labels[(matrix[:, 0] > 2).astype(int)], pa.string())
    models, setup = fleet_in_process(_fleet(), members)
    job.add_object("a.parquet", _table(30))
    score_in_process(job, models, **setup)
    found = read_output(job.paths.predictions / "a.parquet")
    assert pc.unique(found["prediction"]).to_pylist() == ["no", "never", "a", "yes", "sometimes", "b"]
