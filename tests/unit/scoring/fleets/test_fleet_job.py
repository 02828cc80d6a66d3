"""A job of a fleet in its own processes: one table of outputs, few loaded models, and resuming after a kill."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

from contract.job.fleet import FleetSpec
from contract.layout import artifact_key, job_outputs_prefix
from tests.unit.scoring.support.job_folder import DATASET, JobFolder, doubles, joblib_saver
from tests.unit.scoring.support.kills import check_kills

STORES = list(range(40))
"""So many that each core gets a process."""


def _model(store: int) -> LinearRegression:
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([store / 7, 1.0]), store / 3, 2
    return model


def _table(rows: int, seed: int) -> pa.Table:
    numbers = np.random.default_rng(seed)
    return pa.table(
        {
            "sale": pa.array(np.arange(rows) + seed * 1_000_000),
            "store": pa.array([None if value == 40 else value for value in numbers.integers(0, 42, rows).tolist()]),
            "x": numbers.normal(size=rows),
            "y": numbers.normal(size=rows),
        }
    )


def _fleet(unmatched: str = "skip", **fields: object) -> FleetSpec:
    routes = {str(store): f"sales-{store}" for store in STORES}
    return FleetSpec("sales", "store", routes, unmatched, route_type="int64", **fields)  # type: ignore[arg-type]


def _job(root: Path, damaged: int = -1) -> JobFolder:
    """Return a job with a model per store, of which one may be damaged."""
    job = JobFolder(root)
    for store in STORES:
        job.add_model(
            f"sales-{store}",
            joblib_saver("no model" if store == damaged else _model(store)),
            features=doubles("x", "y"),
            key_columns=("sale",),
            tolerated_quarantine_fraction=0.5,
        )
    return job


def _add_objects(job: JobFolder, count: int) -> dict[str, pa.Table]:
    tables = {f"{seed}.parquet": _table(2_000 + 500 * (seed % 3), seed) for seed in range(count)}
    for key, table in tables.items():
        job.add_object(key, table, row_group_size=700)
    return tables


def _rows_with_models(table: pa.Table) -> pd.DataFrame:
    """Return the rows of a table that have a model, with what is expected of the output."""
    frame = table.to_pandas()
    frame = frame[frame["store"].isin(STORES)].reset_index(drop=True)
    frame["store"] = frame["store"].astype("int64")
    frame["prediction"] = frame["store"] / 7 * frame["x"] + frame["y"] + frame["store"] / 3
    frame["model_id"] = [f"sales-{store}" for store in frame["store"]]
    frame["model_version"] = "v1"
    return frame


@pytest.mark.parametrize("workers", ["1", "2"])
def test_outputs_are_one_table_for_each_engine(tmp_path: Path, workers: str) -> None:
    job = _job(tmp_path / "ml")
    tables = _add_objects(job, 6)
    spec = job.write_spec(batch_rows=1_000, fleet=_fleet())
    lines = job.score("--workers", workers, "--cores", "2")
    assert lines[-1]["rows"] == sum(table.num_rows for table in tables.values())
    expected = pd.concat(map(_rows_with_models, tables.values())).sort_values("sale", ignore_index=True)
    commits = job.commits()
    assert sum(commit.rows_scored for commit in commits) == len(expected)
    assert sum(commit.rows_skipped for commit in commits) == lines[-1]["rows"] - len(expected)

    prefix = job_outputs_prefix("predictions", DATASET, spec.execution_id, spec.job_id, "fleet")
    shutil.copytree(job.paths.predictions, tmp_path / "s3" / prefix)
    root = tmp_path / "s3" / "fleets"
    pattern = f"{root}/**/*.parquet"
    read = {
        "pyarrow": ds.dataset(root, format="parquet", partitioning="hive").to_table().to_pandas(),
        "duckdb": duckdb.read_parquet(pattern, hive_partitioning=True).df(),
        "polars": pl.scan_parquet(pattern, hive_partitioning=True).collect().to_pandas(),
        "pandas": pd.read_parquet(root),
    }
    for name, frame in read.items():
        assert list(frame.columns) == [*expected.columns, "dataset", "execution_id", "job_id"], name
        assert set(frame["job_id"]) == {"sales.fleet"}
        found = frame.sort_values("sale", ignore_index=True)[list(expected.columns)]
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, obj=name)


def test_only_members_of_the_shard_are_opened_if_the_route_is_in_the_key(tmp_path: Path) -> None:
    fleet = _fleet(in_key=True)
    job = _job(tmp_path / "ml")
    for folder in ("7", "007", "99"):
        job.add_object(f"store={folder}/a.parquet", _table(50, 1).drop(["store"]))
    for store in STORES:
        if store not in (0, 7):
            (job.paths.models / artifact_key(f"sales-{store}", "v1")).write_bytes(b"damaged")
    job.write_spec(fleet=fleet)
    job.score()
    with pq.ParquetFile(job.paths.predictions / "store=007/a.parquet") as file:
        assert set(file.read()["model_id"].to_pylist()) == {"sales-7"}
    skipped = {commit.object: commit.rows_skipped for commit in job.commits()}
    assert skipped == {"store=7/a.parquet": 0, "store=007/a.parquet": 0, "store=99/a.parquet": 50}

    job.add_object("store=8/a.parquet", _table(50, 1).drop(["store"]))
    job.write_spec(fleet=fleet)
    assert job.run().returncode
    assert "model 'sales-8' version 'v1': its artifact has 7 bytes" in job.message


def test_a_damaged_member_fails_only_the_objects_that_need_it(tmp_path: Path) -> None:
    job = _job(tmp_path / "ml", damaged=3)
    tables = _add_objects(job, 2)
    others = tables["1.parquet"].filter(pa.array([value != 3 for value in tables["1.parquet"]["store"].to_pylist()]))
    job.objects.pop()
    job.add_object("1.parquet", others)
    job.write_spec(fleet=_fleet())
    ended = job.run()
    assert ended.returncode
    assert "MODEL: 1 of 2 objects failed: object '0.parquet', model 'sales': route '3': model 'sales-3'" in job.message
    assert job.committed() == {("sales", "1.parquet")}


@pytest.mark.kills
def test_a_killed_job_continues_with_the_same_bytes(tmp_path: Path) -> None:
    job = _job(tmp_path / "whole")
    _add_objects(job, 10)
    job.write_spec(batch_rows=500, fleet=_fleet("quarantine"))
    assert len(check_kills(job, tmp_path)) == 10 * 3
