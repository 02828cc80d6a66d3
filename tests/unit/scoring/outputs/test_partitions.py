"""Readers take the partitions of outputs from their folders, and only from those of the job's prefix."""

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from contract import layout

NAMES = ["dataset", "execution_id", "job_id", "model_id"]
JOB = ("customers", "20260701", "churn.and-1-more")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with outputs of two models, whose object keys have folders of partitions."""
    prefix = layout.job_outputs_prefix("predictions", *JOB)
    for number, (model_id, name) in enumerate(
        [("churn", "a.parquet"), ("007", "dataset=other/execution_id=old/job_id=x/model_id=y/b.parquet")]
    ):
        path = tmp_path / prefix / layout.output_key(model_id, name)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"prediction": [float(number)]}), path)
    return tmp_path / "predictions"


def test_arrow_reads_each_file_under_its_jobs_partitions(folder: Path) -> None:
    folders = pa.schema([(name, pa.string()) for name in NAMES])
    table = ds.dataset(folder, format="parquet", partitioning=ds.partitioning(folders, flavor="hive"))
    rows = table.to_table(filter=(ds.field("execution_id") == JOB[1]) & (ds.field("job_id") == JOB[2])).to_pylist()
    assert sorted(rows, key=lambda row: row["prediction"]) == [
        {"prediction": float(number), **dict(zip(NAMES, (*JOB, model_id), strict=True))}
        for number, model_id in enumerate(["churn", "007"])
    ]


def test_pandas_reads_each_file_under_its_jobs_partitions(folder: Path) -> None:
    frame = pd.read_parquet(folder).sort_values("prediction")
    assert frame["model_id"].astype(str).tolist() == ["churn", "007"]
    assert set(frame["dataset"].astype(str)) == {JOB[0]}
    assert set(frame["job_id"].astype(str)) == {JOB[2]}


def test_duckdb_reads_each_file_under_its_jobs_partitions(folder: Path) -> None:
    rows = duckdb.execute(
        "SELECT dataset, execution_id, job_id, model_id FROM read_parquet(?, hive_partitioning = true) "
        "WHERE execution_id = '20260701' ORDER BY prediction",
        [f"{folder}/**/*.parquet"],
    ).fetchall()
    assert [(str(dataset), str(execution), job, model) for dataset, execution, job, model in rows] == [
        (*JOB, "churn"),
        (*JOB, "007"),
    ]
