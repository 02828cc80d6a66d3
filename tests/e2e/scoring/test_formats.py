"""A dataset may mix formats and have columns in its keys."""

import gzip
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.dataset.detection import NO_DATA_NOTE
from contract.dataset.input_options import InputOptions
from contract.status import ExecutionStatus
from tests.e2e.stage import FEATURES, Stage, features_of, people, train_xgboost

CARRIERS = ("UA", "AA", "DL")


def text(table: pa.Table) -> pd.DataFrame:
    # Without the column of lists, which CSV cannot express.
    return table.drop_columns("notes").to_pandas()


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return {carrier: people(400, seed, first_row=1_000 * seed) for seed, carrier in enumerate(CARRIERS)}


@pytest.fixture(scope="module")
def dataset(stage: Stage, tables: dict[str, pa.Table]) -> str:
    united, american, delta = tables.values()
    lines = text(american).to_json(orient="records", lines=True, double_precision=15)
    stage.put_dataset(
        "formats",
        {
            "carrier=UA/a.csv.gz": gzip.compress(text(united).to_csv(index=False, float_format="%.17g").encode()),
            "carrier=AA/b.jsonl": lines.encode(),
            "carrier=DL/c.parquet": delta,
        },
    )
    return "formats"


def test_every_format_is_scored_by_the_same_model(stage: Stage, dataset: str, tables: dict[str, pa.Table]) -> None:
    model = train_xgboost(1)
    stage.register("by-format", model, dataset=dataset, key_columns=("row", "carrier"), partition_columns=("carrier",))
    snapshot = stage.run({"models": ["by-format"]}, "formats")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    outputs = stage.predictions(dataset, "by-format", "formats")
    assert len(outputs) == 3
    for carrier, table in tables.items():
        [output] = [found for key, found in outputs.items() if key.startswith(f"carrier={carrier}/")]
        assert set(output["carrier"].to_pylist()) == {carrier}
        assert [int(row) for row in output["row"].to_pylist()] == table["row"].to_pylist()
        expected: Any = model.predict_proba(features_of(table))[:, 1]
        assert np.allclose(np.asarray(output["prediction_1"]), expected, rtol=1e-6)


def test_a_dataset_of_athena_and_spark_is_scored_without_renaming(stage: Stage) -> None:
    """Athena writes no extensions, Spark writes .json, EMR marks folders, and some parts are empty."""
    tables = {seed: people(50, seed, first_row=1_000 * seed) for seed in (5, 6, 7)}
    lines = text(tables[6]).to_json(orient="records", lines=True, double_precision=15)
    objects: dict[str, pa.Table | bytes] = {
        "year=2025_$folder$": b"",
        "year=2025/20250101_000000_00001_abcde": tables[5],
        "year=2025/part-0.json.gz": gzip.compress(lines.encode()),
        "year=2026/A.CSV": text(tables[7]).to_csv(index=False).encode(),
        "year=2026/part-1.csv": b"",
        "year=2026/part-1.json.gz": gzip.compress(b""),
    }
    stage.put_dataset("athena", objects)
    model = train_xgboost(3)
    stage.register("on-athena", model, dataset="athena")
    snapshot = stage.run({"models": ["on-athena"]}, "athena")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    [job] = snapshot.jobs
    assert (job.object_count, job.rows_in, job.rows_scored, job.rows_quarantined) == (5, 150, 150, 0)
    assert list(job.notes) == [
        f"on-athena: {note}"
        for note in sorted(
            (
                NO_DATA_NOTE,
                "objects whose names say no format were read as Parquet, which their content shows",
            )
        )
    ]
    outputs = stage.predictions("athena", "on-athena", "athena")
    assert len(outputs) == 3
    for seed, table in tables.items():
        [output] = [found for found in outputs.values() if int(found["row"][0].as_py()) == 1_000 * seed]
        assert [int(row) for row in output["row"].to_pylist()] == table["row"].to_pylist()
        expected: Any = model.predict_proba(features_of(table))[:, 1]
        assert np.allclose(np.asarray(output["prediction_1"]), expected, rtol=1e-6)


def test_text_without_a_name_or_header_needs_the_records_format(stage: Stage) -> None:
    stage.put_dataset("no-header", {"000": text(people(50, 8)).to_csv(index=False, header=False).encode()})
    columns = tuple(text(people(1, 8)).columns)
    options = {"csv_header": False, "csv_columns": columns}
    stage.register("unsaid", train_xgboost(4), dataset="no-header", input=InputOptions(**options))
    stage.register("said", train_xgboost(4), dataset="no-header", input=InputOptions(format="csv", **options))
    refused = stage.run({"models": ["unsaid"]}, "no-header-refused")
    assert "dataset 'no-header': object key: got '000'" in refused.reason
    assert "Set input.format in the model's record (parquet, csv, tsv or jsonl)" in refused.reason
    snapshot = stage.run({"models": ["said"]}, "no-header")
    assert (snapshot.status, snapshot.jobs[0].rows_scored) == (ExecutionStatus.SUCCEEDED, 50)


def test_a_bad_row_of_text_is_named_and_other_objects_are_scored(stage: Stage) -> None:
    good = text(people(50, 3)).to_csv(index=False)
    bad = good.replace("\n", ",\n", 5).replace(",\n", "\n", 4)
    stage.put_dataset("bad-row", {"good.csv": good.encode(), "bad.csv": bad.encode()})
    stage.register("on-bad-row", train_xgboost(2), dataset="bad-row")
    snapshot = stage.run({"models": ["on-bad-row"]}, "bad-row")
    [job] = snapshot.jobs
    assert snapshot.status == ExecutionStatus.FAILED
    assert "object 'bad.csv'" in job.reason
    assert "has 6 cells, expected 5 as the header has" in job.reason
    assert len(stage.predictions("bad-row", "on-bad-row", "bad-row")) == 1


def test_columns_missing_in_keys_or_headers_are_refused_before_any_job(stage: Stage, dataset: str) -> None:
    features = (*FEATURES, Feature("month", "int32"))
    stage.register("by-month", train_xgboost(1), dataset=dataset, features=features, partition_columns=("month",))
    stage.put_dataset("other-header", {"a.csv": b"row,spend\n1,2\n"})
    stage.register("other-header", train_xgboost(1), dataset="other-header")
    snapshot = stage.run({"models": ["by-month", "other-header"]}, "formats-refused")
    assert snapshot.status == ExecutionStatus.FAILED
    assert "partition_columns: got '3 objects whose keys lack them: carrier=AA/b.jsonl" in snapshot.reason
    assert "a.csv without age (double), visits (int64)" in snapshot.reason
    assert snapshot.jobs == ()
