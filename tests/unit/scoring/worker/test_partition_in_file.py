"""Outputs of objects whose file also has the columns of their key."""

from typing import Any

import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

FEATURES = (Feature("x", "double"), Feature("month", "int64"))
TABLE = pa.table({"id": [1, 2, 3], "month": pa.array([7, 7, 7], pa.int32()), "x": [1.0, 2.0, 3.0]})


def score(job: JobFolder, table: pa.Table, **fields: Any) -> Any:
    spec = model_spec(*FEATURES, partition_columns=("month",), **fields)
    job.models.append(spec)
    job.add_object("month=07/a.parquet", table)
    [done] = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix.sum(axis=1))}, batch_rows=2)
    return done


@pytest.mark.parametrize(
    ("fields", "writer", "columns"),
    [
        ({}, "parquet, input copied", ["id", "month", "x", "prediction"]),
        ({"key_columns": ("id", "month")}, "parquet, input copied", ["id", "month", "x", "prediction"]),
        (
            {"key_columns": ("id", "month"), "columns": "keys"},
            "parquet, encoded: the record keeps only the key columns",
            ["id", "month", "prediction"],
        ),
    ],
)
def test_the_files_column_is_kept_unchanged(
    job: JobFolder, fields: dict[str, Any], writer: str, columns: list[str]
) -> None:
    assert score(job, TABLE, **fields).failures == ()
    output = job.output("code", "month=07/a.parquet")
    assert output.column_names == columns
    assert output.schema.field("month").type == pa.int32()
    assert output["prediction"].to_pylist() == [8.0, 9.0, 10.0]
    assert job.commit("code", "month=07/a.parquet").writer == writer


def test_a_copied_file_that_contradicts_its_key_has_no_output(job: JobFolder) -> None:
    table = TABLE.set_column(1, "month", pa.array([7, 7, 8], pa.int32()))
    [failure] = score(job, table).failures
    assert failure.kind == "DATA"
    assert "object 'month=07/a.parquet': row 2 has another value in column 'month'" in failure.text
    assert job.files() == {}
