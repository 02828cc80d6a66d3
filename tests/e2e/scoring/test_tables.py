"""Snapshots of really written tables: what the plan refuses, and what the command scores."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cli.command_line.program import run as run_command
from contract.dataset.input_options import InputOptions
from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, people, train_xgboost

deltalake = pytest.importorskip("deltalake")

Fleetscore = Callable[..., tuple[int, str]]
FIELDS = ("row", "age", "visits", "spend")


def rows(start: int, count: int) -> pa.Table:
    return people(count, 1).select(FIELDS).set_column(0, "row", pa.array(range(start, start + count), pa.int64()))


@pytest.fixture(scope="module")
def options(stage: Stage) -> Iterator[dict[str, str]]:
    """Storage options with which `deltalake` writes into the embedded AWS."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = stage.connection.ca_bundle()
    yield {**stage.connection.storage_options(), "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}
    os.environ.pop("SSL_CERT_FILE")
    if before is not None:
        os.environ["SSL_CERT_FILE"] = before


@pytest.fixture
def fleetscore(capfd: pytest.CaptureFixture[str]) -> Fleetscore:
    def run(*words: str, **request: Any) -> tuple[int, str]:
        capfd.readouterr()
        status = run_command(["run", "--wait", "--json", *words, "--input", json.dumps(request)])
        return status, "".join(capfd.readouterr())

    return run


def scored(stage: Stage, dataset: str, model_id: str, execution_id: str) -> list[int]:
    found = stage.predictions(dataset, model_id, execution_id)
    return sorted(row for table in found.values() for row in table["row"].to_pylist())


def test_deleted_and_replaced_rows_of_a_delta_table_are_not_scored(
    stage: Stage, options: dict[str, str], fleetscore: Fleetscore
) -> None:
    stage.register("on-delta", train_xgboost(1), dataset="delta")
    location = f"s3://{stage.deployment.datasets_bucket}/delta/"
    deltalake.write_deltalake(location, rows(0, 10), storage_options=options)
    deltalake.write_deltalake(location, rows(10, 10), mode="append", storage_options=options)
    deltalake.DeltaTable(location, storage_options=options).delete("row < 5")

    refused = stage.run({"models": ["on-delta"]}, "delta-as-files")
    assert refused.status == ExecutionStatus.FAILED
    assert "dataset 'delta': got 'a Delta Lake table (_delta_log/00000000000000000000.json)'" in refused.reason
    assert "fleetscore run --table delta" in refused.reason

    assert fleetscore("--table", "delta", "--name", "delta-newest", dataset="delta")[0] == 0
    assert scored(stage, "delta", "on-delta", "delta-newest") == list(range(5, 20))
    assert fleetscore("--table", "delta", "--table-version", "0", "--name", "delta-first", dataset="delta")[0] == 0
    assert scored(stage, "delta", "on-delta", "delta-first") == list(range(10))

    status, text = fleetscore("--table", "delta", "--table-at", "2020-01-01", dataset="delta")
    assert (status, "has no version at 2020-01-01T00:00:00+00:00" in text) == (2, True)
    deltalake.write_deltalake(location, rows(50, 3), mode="overwrite", storage_options=options)
    # The same input again scores the same snapshot, whatever was committed since.
    given = stage.client("stepfunctions").describe_execution(
        executionArn=stage.executions.execution_arn("delta-newest")
    )["input"]
    assert stage.run(json.loads(given), "delta-again").status == ExecutionStatus.SUCCEEDED
    assert scored(stage, "delta", "on-delta", "delta-again") == list(range(5, 20))
    assert fleetscore("--table", "delta", "--name", "delta-replaced", dataset="delta")[0] == 0
    assert scored(stage, "delta", "on-delta", "delta-replaced") == [50, 51, 52]

    stage.register("on-files", train_xgboost(1), dataset="delta", input=InputOptions(table="files"))
    assert stage.run({"models": ["on-files"]}, "delta-every-file").status == ExecutionStatus.SUCCEEDED
    assert len(scored(stage, "delta", "on-files", "delta-every-file")) == 28


def test_a_partitioned_delta_table_in_a_folder_is_scored_by_its_keys(
    stage: Stage, options: dict[str, str], fleetscore: Fleetscore
) -> None:
    fields = {"key_columns": ("row", "day"), "partition_columns": ("day",)}
    stage.register("on-days", train_xgboost(1), dataset="lake", **fields)
    location = f"s3://{stage.deployment.datasets_bucket}/lake/events/"
    days = rows(0, 6).append_column("day", pa.array(["a b"] * 3 + ["c"] * 3))
    deltalake.write_deltalake(location, days, partition_by=["day"], storage_options=options)
    deltalake.DeltaTable(location, storage_options=options).delete("row = 1")
    status, text = fleetscore("--table", "delta", "--name", "lake", dataset="lake")
    assert (status, "cannot be read" in text) == (2, True)
    words = ("--table", "delta", "--table-folder", "events", "--name", "lake")
    assert fleetscore(*words, dataset="lake")[0] == 0
    found = stage.predictions("lake", "on-days", "lake")
    pairs = {
        (row, day)
        for table in found.values()
        for row, day in zip(table["row"].to_pylist(), table["day"].to_pylist(), strict=True)
    }
    assert pairs == {(0, "a b"), (2, "a b"), (3, "c"), (4, "c"), (5, "c")}


def test_deleted_rows_of_an_iceberg_table_are_not_scored(stage: Stage, fleetscore: Fleetscore, tmp_path: Path) -> None:
    # Here, because its import takes a second of each process that collects the tests.
    tables = pytest.importorskip("tests.iceberg_tables")
    stage.register("on-iceberg", train_xgboost(1), dataset="iceberg")
    location = f"s3://{stage.deployment.datasets_bucket}/iceberg"
    table = tables.create_table(tmp_path, location, rows(0, 10))
    table.append(rows(10, 10))
    first = table.current_snapshot().snapshot_id
    table.delete("row < 5")

    refused = stage.run({"models": ["on-iceberg"]}, "iceberg-as-files")
    assert "dataset 'iceberg': got 'an Iceberg table (metadata/00000-" in refused.reason
    assert "unknown format" not in refused.reason

    status, text = fleetscore("--table", "iceberg", dataset="iceberg")
    assert status == 2
    assert f"Add --table-metadata with the catalog's metadata location, such as {table.metadata_location}" in text
    words = ("--table", "iceberg", "--table-metadata", table.metadata_location)
    assert fleetscore(*words, "--name", "iceberg", dataset="iceberg")[0] == 0
    assert scored(stage, "iceberg", "on-iceberg", "iceberg") == list(range(5, 20))
    assert fleetscore(*words, "--table-version", str(first), "--name", "iceberg-first", dataset="iceberg")[0] == 0
    assert scored(stage, "iceberg", "on-iceberg", "iceberg-first") == list(range(20))

    # Only the data files, copied to another dataset.
    s3, bucket = stage.client("s3"), stage.deployment.datasets_bucket
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix="iceberg/data/")["Contents"]:
        key = "copied/" + entry["Key"].rpartition("/")[2]
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": entry["Key"]})
    refused = stage.run({"models": ["on-iceberg"], "dataset": "copied"}, "iceberg-copied")
    assert "dataset 'copied': got 'an Iceberg table (00000-" in refused.reason


def test_only_partitions_in_the_glue_catalog_are_scored(stage: Stage, fleetscore: Fleetscore) -> None:
    stage.register("on-glue", train_xgboost(1), dataset="sold", key_columns=("row", "day"), partition_columns=("day",))
    glue, location = stage.client("glue"), f"s3://{stage.deployment.datasets_bucket}/sold/"
    parquet = {
        "Location": location,
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
    }
    types = {"int64": "bigint", "double": "double"}
    columns = [{"Name": field.name, "Type": types[str(field.type)]} for field in rows(0, 1).schema]
    glue.create_database(DatabaseInput={"Name": "shop"})
    table = {
        "Name": "sold",
        "StorageDescriptor": {**parquet, "Columns": columns},
        "PartitionKeys": [{"Name": "day", "Type": "date"}],
    }
    glue.create_table(DatabaseName="shop", TableInput=table)
    days = ("2026-11-28", "2026-11-29", "2026-11-30")
    stage.put_dataset("sold", {f"day={day}/a.parquet": rows(10 * place, 10) for place, day in enumerate(days)})
    for day in days[:2]:
        partition = {"Values": [day], "StorageDescriptor": {**parquet, "Location": f"{location}day={day}"}}
        glue.create_partition(DatabaseName="shop", TableName="sold", PartitionInput=partition)

    words = ("--table", "glue", "--table-name", "shop.sold")
    assert fleetscore(*words, "--name", "glue-all", dataset="sold")[0] == 0
    assert scored(stage, "sold", "on-glue", "glue-all") == list(range(20))
    one_day = (*words, "--table-partition", f"day={days[1]}", "--name", "glue-day")
    assert fleetscore(*one_day, dataset="sold")[0] == 0
    assert scored(stage, "sold", "on-glue", "glue-day") == list(range(10, 20))
    status, text = fleetscore(*words, "--table-partition", f"day={days[2]}", dataset="sold")
    assert status == 2
    assert (
        f"--table-partition: got 'day={days[2]}', expected a partition in the catalog, such as day=2026-11-28" in text
    )
