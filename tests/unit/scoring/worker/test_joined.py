"""A joined output has an object's columns once, then the columns of each model's own output."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.errors import ConfigurationError
from scoring.protocol import MergeParts, PredictPart, ScoreGroup
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

JOINED: dict[str, Any] = {"output_layout": "joined"}
WITH_NULLS: dict[str, Any] = {**JOINED, "joined_nulls": True}
X, Y = Feature("x", "double"), Feature("y", "double")


class RowModel(FunctionModel):
    rows_are_independent = True


class TwoColumns(RowModel):
    """A model of two classes."""

    def __init__(self) -> None:
        super().__init__(lambda matrix: np.column_stack([matrix[:, 0], 1 - matrix[:, 0]]))
        self.outputs = (pa.field("prediction_no", pa.float64()), pa.field("prediction_yes", pa.float64()))


def _refuses_large(matrix: Any) -> Any:
    if (matrix[:, 0] > 8).any():
        raise ValueError("too large")
    return matrix[:, 0] * 2


def _models(**fields: Any) -> dict[ModelSpec, Any]:
    fields = {"key_columns": ("id",), **fields}
    return {
        model_spec(X, model_id="classes", **fields): TwoColumns(),
        model_spec(X, Y, model_id="picky", tolerated_quarantine_fraction=0.5, **fields): RowModel(_refuses_large),
        model_spec(Y, model_id="sum-up", **fields): RowModel(lambda matrix: matrix[:, 0] + 1),
    }


def _table(rows: int, first: int = 0) -> pa.Table:
    numbers = np.arange(first, first + rows)
    return pa.table({"id": numbers, "x": (numbers % 10).astype(float), "y": numbers / 4, "note": numbers.astype(str)})


def _outputs(job: JobFolder) -> dict[str, bytes]:
    return {name: content for name, content in job.files().items() if "scratch" not in name}


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("columns", ["all", "keys"])
@pytest.mark.parametrize("row_number_column", ["", "row"])
def test_columns_equal_those_of_one_output_per_model(
    tmp_path: Path, extension: str, output_format: str, columns: str, row_number_column: str
) -> None:
    models = _models(output_format=output_format, columns=columns, row_number_column=row_number_column)
    jobs = {name: JobFolder(tmp_path / name) for name in ("joined", "alone")}
    for job in jobs.values():
        job.add_object(f"a.{extension}", object_content(_table(40), extension))
    (done,) = score_in_process(jobs["joined"], models, batch_rows=16, **JOINED)
    score_in_process(jobs["alone"], models, batch_rows=16)

    assert done.failures == ()
    name = f"a.{extension}" if extension == output_format else f"a.{extension}.{output_format}"
    joined = read_output(jobs["joined"].paths.predictions / name)
    kept = ["id", "x", "y", "note"] if columns == "all" else ["id"]
    added = ["classes_no", "classes_yes", "picky", "sum-up"]
    assert joined.column_names == [*kept, *added, *filter(None, [row_number_column])]
    own_names = {
        "classes": {"classes_no": "prediction_no", "classes_yes": "prediction_yes"},
        "picky": {"picky": "prediction"},
        "sum-up": {"sum-up": "prediction"},
    }
    for model_id, names in own_names.items():
        own = read_output(jobs["alone"].output_path(model_id, name))
        scored = joined.filter(pa.compute.is_valid(joined[next(iter(names))]))
        expected = own.rename_columns([{old: new for new, old in names.items()}.get(n, n) for n in own.column_names])
        assert scored.select(expected.column_names).equals(expected)
    # The rows that one model refuses are null in its column only, and in its quarantine.
    assert [joined[name].null_count for name in added] == [0, 0, 4, 0]
    commits = {commit.model_id: commit for commit in jobs["joined"].commits()}
    assert {name: (c.rows_in, c.rows_scored, c.rows_quarantined) for name, c in commits.items()} == {
        "classes": (40, 40, 0),
        "picky": (40, 36, 4),
        "sum-up": (40, 40, 0),
    }
    assert len({commit.outputs[0] for commit in commits.values()}) == 1
    files = [_outputs(job) for job in jobs.values()]
    quarantine = [{k: v for k, v in found.items() if k.startswith("quarantine/")} for found in files]
    assert quarantine[0] == quarantine[1]
    assert len(quarantine[0]) == 1


def test_parquet_keeps_the_bytes_of_its_input(job: JobFolder) -> None:
    path = job.add_object("a.parquet", _table(40), row_group_size=16)
    score_in_process(job, _models(), **JOINED)
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    assert (job.paths.predictions / "a.parquet").read_bytes().startswith(data[:-footer])
    assert {commit.writer for commit in job.commits()} == {"parquet, input copied"}


@pytest.mark.parametrize("extension", ["parquet", "csv"])
@pytest.mark.parametrize("fields", [JOINED, WITH_NULLS])
def test_groups_parts_and_batches_change_no_byte(tmp_path: Path, extension: str, fields: dict[str, Any]) -> None:
    models = _models()
    jobs = {name: JobFolder(tmp_path / name) for name in ("alone", "batches", "group")}
    for job in jobs.values():
        for number, rows in enumerate([5, 12, 1, 30]):
            table = _table(rows, number * 3)
            job.add_object(
                f"{number}.{extension}", object_content(table.drop(["y"]) if number == 1 else table, extension)
            )
    score_in_process(jobs["alone"], models, **fields)
    score_in_process(jobs["batches"], models, retry_rows=3, **fields)
    engine, task = engine_in_process(jobs["group"], models, **fields), ScoreGroup(tuple(jobs["group"].objects))
    with commits_in_process(jobs["group"], models, **fields) as commits:
        ended = commit_group_in_process(commits, task, engine.score_group(task), jobs["group"])

    assert {done.key for done in ended if done.failures} == {f"1.{extension}"}
    expected = _outputs(jobs["alone"])
    assert expected == _outputs(jobs["batches"]) == _outputs(jobs["group"])
    assert len([name for name in expected if name.startswith("predictions/")]) == (4 if fields is WITH_NULLS else 3)


def _strict(**fields: Any) -> dict[ModelSpec, Any]:
    return {
        model_spec(X, model_id="good", **fields): RowModel(lambda matrix: matrix[:, 0]),
        model_spec(X, model_id="strict", **fields): RowModel(_refuses_large),
    }


def test_without_nulls_an_object_that_one_model_cannot_score_has_no_output(job: JobFolder) -> None:
    job.add_object("a.parquet", _table(40))
    job.add_object("b.parquet", _table(5))
    ended = score_in_process(job, _strict(), batch_rows=4, **JOINED)
    assert [[(failure.model_id, "'strict'" in failure.text) for failure in done.failures] for done in ended] == [
        [("", True)],
        [],
    ]
    assert job.committed() == {("good", "b.parquet"), ("strict", "b.parquet")}
    assert [path.name for path in job.paths.predictions.rglob("*.parquet")] == ["b.parquet"]


@pytest.mark.parametrize("missing", [False, True])
def test_with_nulls_the_other_models_are_committed(job: JobFolder, missing: bool) -> None:
    models = _models() if missing else _strict()
    job.add_object("a.parquet", _table(40).drop(["y"]) if missing else _table(40))
    (done,) = score_in_process(job, models, batch_rows=4, **WITH_NULLS)
    failed = {"picky", "sum-up"} if missing else {"strict"}
    assert {failure.model_id for failure in done.failures} == failed
    good = {spec.model_id for spec in models} - failed
    assert job.committed() == {(model_id, "a.parquet") for model_id in good}
    joined = read_output(job.paths.predictions / "a.parquet")
    assert {name for name in joined.column_names if joined[name].null_count == 40} == failed
    assert job.commit(next(iter(good)), "a.parquet").writer == "parquet, input copied"


def test_with_nulls_an_object_that_no_model_can_score_has_no_output(job: JobFolder) -> None:
    job.add_object("a.parquet", _table(40).drop(["x", "y"]))
    (done,) = score_in_process(job, _models(), **WITH_NULLS)
    assert {failure.model_id for failure in done.failures} == {"classes", "picky", "sum-up"}
    assert not job.commits()
    assert not list(job.paths.predictions.rglob("*.parquet"))


@pytest.mark.parametrize("fields", [JOINED, WITH_NULLS])
def test_an_object_in_parts_gives_the_same_bytes(tmp_path: Path, fields: dict[str, Any]) -> None:
    jobs = [JobFolder(tmp_path / name) for name in ("whole", "parts")]
    models = _models() | (_strict(key_columns=("id",)) if fields is WITH_NULLS else {})
    for job in jobs:
        job.add_object("a.parquet", _table(200), row_group_size=30)
    score_in_process(jobs[0], models, batch_rows=16, **fields)
    engine, item = engine_in_process(jobs[1], models, batch_rows=16, **fields), jobs[1].objects[0]
    failed = {f.model_id for part in range(3) for f in engine.predict_part(PredictPart(item, part, 3)).failures}
    merge = MergeParts(item, 3, tuple(failed))
    with commits_in_process(jobs[1], models, **fields) as commits:
        assert commit_in_process(commits, merge, engine.merge_parts(merge), jobs[1]).failures == ()
    assert failed == ({"strict"} if fields is WITH_NULLS else set())
    assert _outputs(jobs[0]) == _outputs(jobs[1])


def test_a_part_that_one_model_cannot_predict_ends_the_object(job: JobFolder) -> None:
    job.add_object("a.parquet", _table(200), row_group_size=30)
    done = engine_in_process(job, _strict(), **JOINED).predict_part(PredictPart(job.objects[0], 0, 3))
    assert [failure.model_id for failure in done.failures] == [""]


def test_an_object_without_data_is_committed_without_an_output(job: JobFolder) -> None:
    job.add_object("a.csv", b"")
    score_in_process(job, _models(), **JOINED)
    assert {(commit.model_id, commit.outputs) for commit in job.commits()} == {
        ("classes", ()),
        ("picky", ()),
        ("sum-up", ()),
    }


def test_columns_with_one_name_are_refused_before_any_object_is_scored(job: JobFolder) -> None:
    models = {
        model_spec(X, model_id="a"): TwoColumns(),
        model_spec(X, model_id="a_yes"): RowModel(lambda matrix: matrix[:, 0]),
    }
    with pytest.raises(ConfigurationError, match=r"models \['a', 'a_yes'\]: prediction column 'a_yes' appears"):
        engine_in_process(job, models, **JOINED)


def test_input_columns_with_the_name_of_a_model_fail_the_object(job: JobFolder) -> None:
    job.add_object("a.parquet", _table(5).append_column("picky", pa.array(range(5))))
    job.add_object("b.parquet", _table(5).append_column("prediction", pa.array(range(5))))
    ended = score_in_process(job, _models(), **JOINED)
    assert ["output_layout 'per_model'" in failure.text for failure in ended[0].failures] == [True]
    assert ended[1].failures == ()
