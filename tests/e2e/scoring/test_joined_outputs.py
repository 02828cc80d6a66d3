"""One output for all models of a job, read back by four engines as one table."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from cli.main import main
from contract import layout
from contract.status import ExecutionStatus
from tests.e2e.failing_models import RefusesOneRow, refusing_graph
from tests.e2e.stage import Stage, features_of, people, train_xgboost

DATASET, EXECUTION = "joined-people", "joined"
JOB = "joined-a.and-2-more"
ADDED = ["joined-a_0", "joined-a_1", "joined-b_0", "joined-b_1", "joined-picky_0", "joined-picky_1"]


@pytest.fixture(scope="module")
def given_objects() -> dict[str, pa.Table]:
    objects = {f"{n}.parquet": people(40 + n, n, first_row=n * 1_000) for n in range(4)}
    frame = objects["2.parquet"].to_pandas()
    frame.loc[[7, 30], "visits"] = RefusesOneRow.REFUSED_VISITS
    return {**objects, "2.parquet": pa.Table.from_pandas(frame, schema=objects["2.parquet"].schema)}


def test_three_models_write_one_table(stage: Stage, given_objects: dict[str, pa.Table], tmp_path: Path) -> None:
    stage.put_dataset(DATASET, given_objects)
    models: dict[str, Any] = {"joined-a": train_xgboost(1), "joined-b": train_xgboost(2)}
    for model_id, model in models.items():
        stage.register(model_id, model, dataset=DATASET)
    stage.register("joined-picky", refusing_graph(), dataset=DATASET)
    request = {
        "models": [*models, "joined-picky"],
        "output_layout": "joined",
        "tolerated_quarantine_fraction": 0.1,
    }

    execution = stage.run(request, EXECUTION)

    assert (execution.status, execution.reason) == (ExecutionStatus.SUCCEEDED, "")
    (job,) = stage.summary(EXECUTION).jobs
    assert job.job_id == JOB
    prefix = f"joined/dataset={DATASET}/execution_id={EXECUTION}/job_id={JOB}/"
    assert job.predictions_uris == (layout.s3_uri(stage.deployment.results_bucket, prefix),)
    rows = sum(table.num_rows for table in given_objects.values())
    assert (job.rows_in, job.rows_scored, job.rows_quarantined) == (3 * rows, 3 * rows - 2, 2)
    commits = stage.commits(EXECUTION, JOB)
    assert len(commits) == 12
    assert {(c.model_id, c.object) for c in commits if c.rows_quarantined} == {("joined-picky", "2.parquet")}
    assert {c.outputs[0].key for c in commits} == set(given_objects)
    assert not stage.result_keys(f"predictions/dataset={DATASET}/execution_id={EXECUTION}/")

    assert [key.removeprefix(prefix) for key in stage.result_keys(prefix)] == sorted(given_objects)
    # The models share the files, which have as many objects as the pointer of each model says.
    for number, words in enumerate([("--model", "joined-picky"), ("--dataset", DATASET), ("--execution", EXECUTION)]):
        assert main(["predictions", *words, "--download", str(tmp_path / str(number))]) == 0
    bad = tmp_path / "bad"
    assert main(["predictions", "--execution", EXECUTION, "--quarantine", "--download", str(bad)]) == 0
    assert len(pd.read_parquet(bad)) == 2
    root = tmp_path / "0" / layout.JOINED_PREFIX
    read = ds.dataset(root, format="parquet", partitioning="hive").to_table().sort_by("row")
    pattern = f"{root}/**/*.parquet"
    others = {
        "duckdb": duckdb.read_parquet(pattern, hive_partitioning=True).df(),
        "polars": pl.scan_parquet(pattern, hive_partitioning=True).collect().to_pandas(),
        "pandas": pd.read_parquet(root),
    }
    # Lists with nulls have another form in each engine's frames.
    flat = [name for name in read.column_names if name != "notes"]
    expected = read.select(flat).to_pandas()
    partitions = {"dataset": DATASET, "execution_id": EXECUTION, "job_id": JOB}
    for name, frame in others.items():
        found = frame.sort_values("row", ignore_index=True)[flat]
        found = found.astype(dict.fromkeys(partitions, "str")).astype(
            {column: expected[column].dtype for column in flat}
        )
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, obj=name)
    given = pa.concat_tables(given_objects.values())
    assert read.column_names == [*given.column_names, *ADDED, *partitions]
    assert read.select(given.column_names).equals(given)
    for model_id, model in models.items():
        scores = np.column_stack([read[f"{model_id}_{label}"].to_numpy() for label in (0, 1)])
        np.testing.assert_array_equal(scores, model.predict_proba(features_of(given)).astype(scores.dtype))
    refused = given["visits"].to_pandas() == RefusesOneRow.REFUSED_VISITS
    assert read["joined-picky_1"].to_pandas().isna().tolist() == refused.tolist()
    assert int(refused.sum()) == 2
