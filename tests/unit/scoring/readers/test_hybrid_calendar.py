"""Dates before 1582 in files whose writer used the hybrid calendar."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

ROWS = pa.table(
    {
        "x": [1.0, 2.0, 3.0],
        "day": pa.array([dt.date(1, 1, 1), dt.date(1582, 10, 14), dt.date(1582, 10, 15)]),
        "when": pa.array([dt.date(1, 1, 1), None, dt.date(2020, 1, 1)]).cast(pa.timestamp("us")),
    }
)
NOTE = "has times before 15 October 1582 that their writer stored in the hybrid calendar"


@pytest.mark.parametrize(
    ("metadata", "hybrid"),
    [
        ({"org.apache.spark.version": "3.5.0", "org.apache.spark.legacyDateTime": ""}, True),
        ({"org.apache.spark.version": "2.4.8"}, True),
        ({"writer.date.proleptic": "false"}, True),
        ({"org.apache.spark.version": "3.5.0"}, False),
        ({}, False),
    ],
)
def test_old_dates_of_the_hybrid_calendar_are_counted_and_not_shifted(
    job: JobFolder, metadata: dict[str, str], hybrid: bool
) -> None:
    job.add_object("a.parquet", ROWS.replace_schema_metadata(metadata))
    spec = model_spec(Feature("x", "double"), output_format="csv")
    [done] = score_in_process(job, {spec: FunctionModel(lambda x: x[:, 0])}, batch_rows=2)
    assert done.failures == ()
    commit = job.commit("code", "a.parquet")
    expected = {"day": 2, "when": 1} if hybrid else {}
    assert {note.split("'")[1]: count for note, count in commit.counts.items()} == expected
    assert all(NOTE in note for note in commit.counts)
    [output] = commit.outputs
    assert "1,0001-01-01,0001-01-01 00:00:00.000000,1" in (job.paths.predictions / output.key).read_text()


def test_copied_columns_keep_the_writers_calendar(job: JobFolder) -> None:
    job.add_object("a.parquet", ROWS.replace_schema_metadata({"org.apache.spark.legacyDateTime": ""}))
    [done] = score_in_process(job, {model_spec(Feature("x", "double")): FunctionModel(_first)})
    assert done.failures == ()
    commit = job.commit("code", "a.parquet")
    assert commit.counts == {}
    metadata = pq.read_metadata(job.paths.predictions / commit.outputs[0].key).metadata
    assert b"org.apache.spark.legacyDateTime" in metadata


def _first(matrix: Any) -> Any:
    return matrix[:, 0]
