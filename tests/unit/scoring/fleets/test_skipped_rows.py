"""A row that a fleet skips may have any values, in every format."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec
from contract.status import FailureKind
from scoring.protocol import ScoreGroup
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import (
    FunctionModel,
    commit_group_in_process,
    commits_in_process,
    engine_in_process,
    model_spec,
    score_in_process,
)
from tests.unit.scoring.support.job_folder import JobFolder

_FEATURES = (Feature("x", "int64", nullable=False), Feature("y", "double"))
_ROWS: list[dict[str, Any]] = [
    {"store": 1, "x": 10, "y": 1.0},
    {"store": 9, "x": 1.5, "y": 1.0},
    {"store": None, "x": None, "y": 1.0},
    {"store": 2, "x": 20, "y": 2.0},
]


def _content(rows: list[dict[str, Any]], extension: str) -> bytes:
    if extension == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if extension == "csv":
        lines = [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
        return "\n".join([",".join(rows[0]), *lines, ""]).encode()
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def _fleet(route_type: str = "int64", *, in_key: bool = False, fraction: float = 0.0) -> Any:
    members = {
        model_spec(*_FEATURES, model_id=f"m{store}", tolerated_quarantine_fraction=fraction): FunctionModel(
            lambda matrix: matrix[:, 0]
        )
        for store in (1, 2)
    }
    spec = FleetSpec("stores", "store", {"1": "m1", "2": "m2"}, "skip", route_type=route_type, in_key=in_key)  # type: ignore[arg-type]
    return fleet_in_process(spec, members)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_bad_values_of_a_skipped_row_do_not_count(job: JobFolder, extension: str, grouped: bool) -> None:
    models, setup = _fleet()
    for name in ("a", "b"):
        job.add_object(f"{name}.{extension}", _content(_ROWS, extension))
    if grouped:
        engine, task = engine_in_process(job, models, **setup), ScoreGroup(tuple(job.objects))
        with commits_in_process(job, models, **setup) as commits:
            ended = commit_group_in_process(commits, task, engine.score_group(task), job)
    else:
        ended = score_in_process(job, models, **setup)
    assert [done.failures for done in ended] == [(), ()]
    for commit in job.commits():
        assert (commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (2, 0, 2)


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_skipped_object_may_have_any_values(job: JobFolder, extension: str) -> None:
    models, setup = _fleet(in_key=True)
    rows = [{"x": 1.5, "y": 1.0}, {"x": 3.0, "y": 2.0}]
    for store in (1, 9):
        job.add_object(f"store={store}/a.{extension}", _content(rows, extension))
    ended = {done.key: done.failures for done in score_in_process(job, models, **setup)}
    assert ended[f"store=9/a.{extension}"] == ()
    assert [failure.kind for failure in ended[f"store=1/a.{extension}"]] == [FailureKind.DATA]
    (commit,) = job.commits()
    assert (commit.object, commit.rows_in, commit.rows_skipped) == (f"store=9/a.{extension}", 2, 2)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_rows_whose_route_or_own_values_cannot_be_read_go_to_quarantine(job: JobFolder, extension: str) -> None:
    models, setup = _fleet(fraction=0.6)
    rows = [*_ROWS, {"store": "one", "x": 1, "y": 1.0}, {"store": "one", "x": "x", "y": 1.0}]
    rows += [{"store": 1, "x": "x", "y": "y"}]
    job.add_object(f"a.{extension}", _content(rows, extension))
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    (commit,) = job.commits()
    assert (commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (2, 3, 2)
    with pq.ParquetFile(job.paths.quarantine / commit.outputs[1].key) as file:
        quarantine = file.read().to_pylist()
    assert [row["row"] for row in quarantine] == [4, 5, 6]
    assert "'store' that is not int64" in quarantine[0]["reason"]
    assert "that is not " in quarantine[2]["reason"]


@pytest.mark.parametrize("column", ["x", "y", "z"])
@pytest.mark.parametrize("fraction", [0.0, 0.9, 1.0])
def test_a_bad_row_behind_skipped_bad_rows_is_found(job: JobFolder, column: str, fraction: float) -> None:
    """The search for bad rows ends when there are too many, and skipped rows are none."""
    features = (Feature("x", "int64"), Feature("y", "double", nullable=False), Feature("z", "timestamp[s]"))
    spec = model_spec(*features, model_id="m1", tolerated_quarantine_fraction=fraction)
    fleet = FleetSpec("stores", "store", {"1": "m1"}, "skip", route_type="int64")
    models, setup = fleet_in_process(fleet, {spec: FunctionModel(lambda matrix: matrix[:, 1])})
    bad: dict[str, Any] = {"x": 1.5, "y": None, "z": 1_500}
    columns = {"x": [1.0] * 40, "y": [1.0] * 40, "z": [1_000] * 40}
    columns[column] = [bad[column]] * 40
    table = pa.table({"store": [9] * 39 + [1], **columns})
    table = table.set_column(3, "z", table["z"].cast(pa.timestamp("ms")))
    job.add_object("a.parquet", table)
    (done,) = score_in_process(job, models, **setup)
    if fraction < 1:
        # One of one row. The skipped ones do not count.
        (failure,) = done.failures
        found = "row 39" if fraction == 0 else "1 of 1 rows cannot be scored, more than"
        assert found in failure.text
        return
    assert done.failures == ()
    (commit,) = job.commits()
    assert (commit.rows_scored, commit.rows_quarantined, commit.rows_skipped) == (0, 1, 39)
