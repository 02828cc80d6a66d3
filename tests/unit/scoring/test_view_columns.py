"""Columns of views, as DataFusion writes texts, in objects of which some rows are left out."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

_LONG = "a text that is longer than the twelve bytes of a view"
_COLUMNS = {
    "text": pa.array(["a", _LONG, None, "b"], pa.string_view()),
    "bytes": pa.array([b"a", _LONG.encode(), None, b"b"], pa.binary_view()),
    "struct": pa.array([{"s": "a"}, {"s": _LONG}, None, {"s": None}], pa.struct([("s", pa.string_view())])),
    "list": pa.array([["a"], [_LONG, "b"], None, []], pa.list_(pa.string_view())),
    "map": pa.array([[("a", "b")], [("a", _LONG)], None, []], pa.map_(pa.string(), pa.string_view())),
}


def _model() -> FunctionModel:
    return FunctionModel(lambda matrix: np.where(matrix[:, 0] == 1, np.nan, matrix[:, 0]))


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
@pytest.mark.parametrize("kind", _COLUMNS)
@pytest.mark.parametrize("layout", ["per_model", "joined", "fleet"])
def test_rows_with_views_are_left_out(job: JobFolder, kind: str, output_format: str, layout: str) -> None:
    fields: dict[str, Any] = {"tolerated_quarantine_fraction": 0.5, "output_format": output_format}
    spec = model_spec(Feature("x", "double"), model_id="m", **fields)
    models, setup = {spec: _model()}, {"output_layout": layout}
    if layout == "fleet":
        models, setup = fleet_in_process(FleetSpec("f", "route", {"A": "m"}, "skip"), models)
    routes = pa.array(["A", "A", "B", "A"], pa.string_view())
    job.add_object("a.parquet", pa.table({"x": [0.0, 1.0, 2.0, 3.0], "kept": _COLUMNS[kind], "route": routes}))
    (done,) = score_in_process(job, models, **setup)
    assert done.failures == ()
    (commit,) = job.commits()
    scored = {"per_model": [0, 2, 3], "joined": [0, 1, 2, 3], "fleet": [0, 3]}[layout]
    assert (commit.rows_scored, commit.rows_quarantined) == (3 if layout != "fleet" else 2, 1)
    path = job.paths.predictions / commit.outputs[0].key
    if output_format == "jsonl":
        assert [json.loads(line)["x"] for line in path.read_text(encoding="utf-8").splitlines()] == scored
        return
    with pq.ParquetFile(path) as file:
        found = file.read()
    assert found["kept"].type == _COLUMNS[kind].type
    assert found["kept"].to_pylist() == [_COLUMNS[kind][row].as_py() for row in scored]
