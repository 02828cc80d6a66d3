"""Snapshots of really written tables: the manifest's files, and what is refused."""

import dataclasses
import json
import os
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.tables import manifest as manifests
from cli.tables.delta import read_delta
from cli.tables.footers import difference
from cli.tables.manifest import write_snapshot
from cli.tables.snapshot import TableChoice, TableFile, TableSnapshot, import_extra
from contract import codec
from contract.table.latest_predictions import covers_whole_datasets
from contract.triggers.uploads import UploadManifest
from tests.unit.quick_moto import mock_aws

deltalake = pytest.importorskip("deltalake")
pyroaring = pytest.importorskip("pyroaring")
tables = pytest.importorskip("tests.iceberg_tables")

DEPLOYMENT = Deployment("test", "datasets", "models", "results", "table", "arn:a", "arn:b")
ROWS = pa.table({"id": [1, 2, 3, 4], "x": [1.0, 2.0, 3.0, 4.0]})
DELTA, ICEBERG = TableChoice("delta", "events"), TableChoice("iceberg", "events")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Write = Callable[..., UploadManifest]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        for bucket in ("datasets", "results"):
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture
def write(s3: Any) -> Write:
    connection = Connection(region="us-east-1")

    def run(choice: TableChoice) -> UploadManifest:
        key, manifest = write_snapshot(connection, DEPLOYMENT, choice)
        # Only all that the dataset has now may become its latest predictions.
        is_whole = (choice.version, choice.at, choice.folder) == (None, "", "")
        assert key.startswith("uploads/events/table-")
        assert covers_whole_datasets(json.dumps({"objects_manifest": key})) == is_whole
        stored = s3.get_object(Bucket="results", Key=key)["Body"].read()
        assert codec.loads(UploadManifest, stored) == manifest
        assert (manifest.origin, manifest.names_objects) == ("table", True)
        return manifest

    return run


def live_ids(s3: Any, manifest: UploadManifest) -> list[int]:
    """Return the ids in the manifest's files, whose size and ETag must be pinned."""
    found: list[int] = []
    for item in manifest.objects:
        answer = s3.get_object(Bucket="datasets", Key=f"events/{item.key}")
        assert (answer["ETag"], answer["ContentLength"]) == (f'"{item.etag}"', item.size)
        found += pq.ParquetFile(pa.BufferReader(answer["Body"].read())).read()["id"].to_pylist()
    return sorted(found)


# ---- Delta Lake ----------------------------------------------------------------------------------


@pytest.fixture
def delta(tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose table the command finds at s3://datasets/events/."""
    folder = tmp_path / "events"

    def read(connection: Connection, location: str, choice: TableChoice) -> TableSnapshot:
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"events/{choice.folder}{path.relative_to(folder).as_posix()}"
                s3.put_object(Bucket="datasets", Key=key, Body=path.read_bytes())
        found = read_delta(connection, str(folder), choice)
        moved = [
            dataclasses.replace(file, uri=file.uri.replace(str(folder), location.rstrip("/"))) for file in found.files
        ]
        return dataclasses.replace(found, files=tuple(moved))

    def committed(_: Connection, location: str, version: int) -> datetime:
        return datetime.fromtimestamp((Path(location) / "_delta_log" / f"{version:020}.json").stat().st_mtime, UTC)

    monkeypatch.setattr("cli.tables.delta._committed", committed)
    monkeypatch.setitem(manifests._READERS, "delta", read)
    return folder


def commit(folder: Path, *actions: dict[str, Any]) -> None:
    log = folder / "_delta_log"
    version = max(int(path.stem) for path in log.glob("*.json")) + 1
    (log / f"{version:020}.json").write_text("\n".join(map(json.dumps, actions)))


def test_only_files_of_the_chosen_version_are_in_the_manifest(delta: Path, s3: Any, write: Write) -> None:
    deltalake.write_deltalake(delta, ROWS)
    deltalake.write_deltalake(delta, ROWS, mode="append")
    deltalake.DeltaTable(delta).delete("id <= 2")
    deltalake.DeltaTable(delta).update(updates={"id": "id * 10"}, predicate="id = 4")
    newest = write(DELTA)
    assert live_ids(s3, newest) == [3, 3, 40, 40]
    assert newest.table == f"version 3 of the Delta Lake table {delta}"
    assert live_ids(s3, write(dataclasses.replace(DELTA, version=0))) == [1, 2, 3, 4]
    assert live_ids(s3, write(dataclasses.replace(DELTA, at="2100-01-01T00:00:00Z"))) == [3, 3, 40, 40]
    assert write(DELTA) == newest
    deltalake.DeltaTable(delta).optimize.compact()
    deltalake.DeltaTable(delta).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    for entry in s3.list_objects_v2(Bucket="datasets", Prefix="events/")["Contents"]:
        s3.delete_object(Bucket="datasets", Key=entry["Key"])
    with pytest.raises(CommandError, match=r"has 1 files that do not exist any more, such as part-.* newer snapshot"):
        write(dataclasses.replace(DELTA, version=0))


def test_partition_values_must_be_in_the_keys(delta: Path, write: Write) -> None:
    rows = ROWS.append_column("day", pa.array(["a b", "a b", "1%", None]))
    deltalake.write_deltalake(delta, rows, partition_by=["day"])
    folders = {item.key.partition("/")[0] for item in write(DELTA).objects}
    assert folders == {"day=a%20b", "day=1%25", "day=__HIVE_DEFAULT_PARTITION__"}
    [file, *_] = delta.rglob("day=a*/*.parquet")
    file.rename(delta / "moved.parquet")
    add = {"path": "moved.parquet", "partitionValues": {"day": "a b"}, "size": (delta / "moved.parquet").stat().st_size}
    commit(delta, {"add": {**add, "modificationTime": 0, "dataChange": True}})
    old = file.relative_to(delta).as_posix().replace("%", "%25")
    commit(delta, {"remove": {"path": old, "deletionTimestamp": 0, "dataChange": True}})
    with pytest.raises(CommandError, match=r"moved.parquet: its key has no part 'day=…/'.* the column in its keys"):
        write(DELTA)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([MOMENT, MOMENT.replace(hour=0), None], pa.timestamp("us")),
        pa.array([MOMENT.replace(microsecond=670), MOMENT.replace(second=0), None], pa.timestamp("us", "UTC")),
        pa.array([date(2026, 1, 2), date(1, 1, 1), None]),
        pa.array([1e-7, 1e20, float("nan")]),
        pa.array([Decimal("0"), Decimal("0.0000001"), None], pa.decimal128(20, 8)),
        pa.array([True, False, None]),
        pa.array([-7, 0, None], pa.int32()),
        pa.array(["a/b", "ü%20=#?&+'\"\\", "%2F"]),
    ],
    ids=lambda values: str(values.type),
)
def test_partition_values_of_every_type_are_recognized_in_the_keys(delta: Path, write: Write, values: pa.Array) -> None:
    deltalake.write_deltalake(delta, ROWS.slice(0, 3).append_column("day", values), partition_by=["day"])
    assert len(write(DELTA).objects) == 3


def test_a_key_with_another_value_than_the_log_is_refused() -> None:
    assert manifests._is_value("2026-01-02 03:04:05", MOMENT)
    assert manifests._is_value("2026-01-02T04:04:05+01:00", MOMENT)
    for text, value in (
        ("2026-01-02 03:04:06", MOMENT),
        ("x", MOMENT),
        ("1", 1.5),
        ("x", 1.5),
        ("1.51", Decimal("1.5")),
        ("x", Decimal("1.5")),
        ("1", True),
        ("", None),
        (None, 0),
        ("01", 1),
    ):
        assert not manifests._is_value(text, value)


def test_a_time_before_the_oldest_version_is_refused(delta: Path, write: Write) -> None:
    for _ in range(3):
        deltalake.write_deltalake(delta, ROWS, mode="append")
    for version in range(3):
        day = datetime(2026, 1, 1 + version, tzinfo=UTC).timestamp()
        os.utime(delta / "_delta_log" / f"{version:020}.json", (day, day))
    with pytest.raises(CommandError, match=r"no version at 2020-01-01T00:00:00\+00:00: .* dates from 2026-01-01T00:00"):
        write(dataclasses.replace(DELTA, at="2020-01-01T00:00:00+00:00"))
    assert len(write(dataclasses.replace(DELTA, at="2026-01-02T12:00:00+00:00")).objects) == 2
    assert len(write(dataclasses.replace(DELTA, at="2026-01-03T00:00:00+00:00")).objects) == 3


def test_files_of_an_older_schema_are_refused(delta: Path, write: Write) -> None:
    deltalake.write_deltalake(delta, ROWS)
    more = ROWS.append_column("y", pa.array([1, 2, 3, 4]))
    deltalake.write_deltalake(delta, more, mode="append", schema_mode="merge")
    with pytest.raises(CommandError, match=r"has 1 of 2 files whose columns are not the table's: part-.* lacks y"):
        write(DELTA)


def test_deletion_vectors_are_refused(delta: Path, write: Write) -> None:
    deltalake.write_deltalake(delta, ROWS, configuration={"delta.enableDeletionVectors": "true"})
    table = deltalake.DeltaTable(delta)
    assert "deletionVectors" in table.protocol().reader_features
    assert len(write(DELTA).objects) == 1
    [file] = delta.glob("*.parquet")
    bits = struct.pack("<i", 1681511377) + pyroaring.BitMap64([0, 2]).serialize()
    bits += b"\0" * (-len(bits) % 4)
    vector = {"storageType": "i", "pathOrInlineDv": z85(bits), "sizeInBytes": len(bits), "cardinality": 2}
    add = {"path": file.name, "partitionValues": {}, "size": file.stat().st_size, "modificationTime": 0}
    remove = {"path": file.name, "deletionTimestamp": 0, "dataChange": True}
    stats = json.dumps({"numRecords": 4})
    commit(delta, {"remove": remove}, {"add": {**add, "dataChange": True, "deletionVector": vector, "stats": stats}})
    with pytest.raises(CommandError, match=r"deletion vectors for 1 files, such as .*REORG TABLE … APPLY \(PURGE\)"):
        write(DELTA)


def z85(data: bytes) -> str:
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    numbers = [int.from_bytes(data[start : start + 4], "big") for start in range(0, len(data), 4)]
    return "".join(letters[number // 85**power % 85] for number in numbers for power in (4, 3, 2, 1, 0))


def test_column_mapping_and_missing_tables_are_refused(delta: Path, write: Write) -> None:
    with pytest.raises(CommandError, match=r"The Delta Lake table .* cannot be read: .* Check the dataset's name"):
        write(DELTA)
    deltalake.write_deltalake(delta, ROWS)
    first = (delta / "_delta_log" / f"{0:020}.json").read_text()
    metadata = next(json.loads(line) for line in first.splitlines() if "metaData" in line)
    schema = json.loads(metadata["metaData"]["schemaString"])
    for number, column in enumerate(schema["fields"], start=1):
        column["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": column["name"]}
    configuration = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    metadata["metaData"] |= {"schemaString": json.dumps(schema), "configuration": configuration}
    commit(delta, {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}, metadata)
    with pytest.raises(CommandError, match="has column mapping, so its files have other column names"):
        write(DELTA)


def test_files_elsewhere_and_replaced_files_are_refused(delta: Path, s3: Any, write: Write) -> None:
    deltalake.write_deltalake(delta, ROWS)
    write(DELTA)
    [file] = delta.glob("*.parquet")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(CommandError, match="has 1 files of another size than the table says"):
        write(DELTA)
    add = {"path": "s3://other/events/a.parquet", "partitionValues": {}, "size": 1, "modificationTime": 0}
    commit(delta, {"add": {**add, "dataChange": True}})
    with pytest.raises(CommandError, match=r"1 files that are not below s3://datasets/events/, such as s3://other/"):
        write(DELTA)


# ---- Iceberg -------------------------------------------------------------------------------------


@pytest.fixture
def iceberg(tmp_path: Path, s3: Any) -> Any:
    return tables.create_table(tmp_path, "s3://datasets/events", ROWS)


def of(table: Any, **changes: Any) -> TableChoice:
    return dataclasses.replace(ICEBERG, metadata=table.metadata_location, **changes)


def test_only_files_of_the_chosen_snapshot_are_in_the_manifest(iceberg: Any, s3: Any, write: Write) -> None:
    first = iceberg.current_snapshot()
    iceberg.append(ROWS)
    iceberg.delete("id <= 2")
    assert live_ids(s3, write(of(iceberg))) == [3, 3, 4, 4]
    assert live_ids(s3, write(of(iceberg, version=first.snapshot_id))) == [1, 2, 3, 4]
    moment = f"{first.timestamp_ms / 1_000:.3f}"
    at = pa.scalar(first.timestamp_ms, pa.timestamp("ms", "UTC")).as_py().isoformat()
    assert live_ids(s3, write(of(iceberg, at=at))) == [1, 2, 3, 4], moment
    iceberg.overwrite(ROWS.slice(0, 1))
    assert live_ids(s3, write(of(iceberg))) == [1]
    with pytest.raises(CommandError, match=r"The Iceberg table has no snapshot 7\. Its newest ones: "):
        write(of(iceberg, version=7))


def test_the_current_metadata_must_be_known(iceberg: Any, s3: Any, write: Write) -> None:
    with pytest.raises(CommandError, match="Add --table-metadata with the catalog's metadata location, such as s3://"):
        write(ICEBERG)
    name = iceberg.metadata_location.rpartition("/")[2].removesuffix(".metadata.json")
    s3.put_object(Bucket="datasets", Key="events/metadata/version-hint.text", Body=name.encode())
    assert live_ids(s3, write(ICEBERG)) == [1, 2, 3, 4]
    with pytest.raises(CommandError, match="There is no Iceberg table at s3://datasets/events/x/"):
        write(dataclasses.replace(ICEBERG, folder="x/"))
    with pytest.raises(CommandError, match=r"cannot be read: there is no s3://datasets/gone.metadata.json. Check"):
        write(dataclasses.replace(ICEBERG, metadata="s3://datasets/gone.metadata.json"))


def test_a_hint_behind_the_newest_version_is_not_believed(iceberg: Any, s3: Any, write: Write) -> None:
    def copy(name: str) -> None:
        bucket, _, key = iceberg.metadata_location.removeprefix("s3://").partition("/")
        source = {"Bucket": bucket, "Key": key}
        s3.copy_object(Bucket="datasets", Key=f"events/metadata/{name}.metadata.json", CopySource=source)

    copy("v1")
    iceberg.delete("id <= 2")
    copy("v2")
    for entry in s3.list_objects_v2(Bucket="datasets", Prefix="events/metadata/0")["Contents"]:
        # Names of other files are random, and may begin with 0 too.
        if entry["Key"].endswith(".metadata.json"):
            s3.delete_object(Bucket="datasets", Key=entry["Key"])
    s3.put_object(Bucket="datasets", Key="events/metadata/version-hint.text", Body=b"1\n")
    assert live_ids(s3, write(ICEBERG)) == [3, 4]
    # A catalog continued without the hint.
    body = s3.get_object(Bucket="datasets", Key="events/metadata/v2.metadata.json")["Body"].read()
    s3.put_object(Bucket="datasets", Key="events/metadata/00003-0a.metadata.json", Body=body)
    with pytest.raises(CommandError, match="do not say which metadata is current"):
        write(ICEBERG)


def test_a_file_that_is_added_twice_is_refused(iceberg: Any, write: Write) -> None:
    [task] = iceberg.scan().plan_files()
    iceberg.add_files([task.file.file_path], check_duplicate_files=False)
    with pytest.raises(CommandError, match=r"names 1 files more than once, such as data/.*\.parquet"):
        write(of(iceberg))


def test_renamed_and_added_columns_are_refused(iceberg: Any, write: Write) -> None:
    with iceberg.update_schema() as update:
        update.rename_column("x", "z")
    with pytest.raises(CommandError, match=r"has 1 of 1 files whose columns are not the table's: data/.* lacks z"):
        write(of(iceberg))
    # Another column takes the name, as the files have it.
    with iceberg.update_schema() as update:
        update.delete_column("z")
        update.add_column("x", pytest.importorskip("pyiceberg.types").DoubleType())
    with pytest.raises(CommandError, match=r"has another column under the name x \(field id 2, the table's is 3\)"):
        write(of(iceberg))


def test_delete_files_are_refused(iceberg: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    # PyIceberg cannot write them.
    planned = pytest.importorskip("pyiceberg.table").DataScan.plan_files

    def with_deletes(scan: Any) -> Any:
        tasks = list(planned(scan))
        tasks[0].delete_files.add("deletes.parquet")
        return tasks

    monkeypatch.setattr("pyiceberg.table.DataScan.plan_files", with_deletes)
    with pytest.raises(CommandError, match=r"has delete files for 1 data files, such as .* `rewrite_data_files`"):
        write(of(iceberg))


# ---- both ----------------------------------------------------------------------------------------


def test_a_file_must_have_exactly_the_tables_columns() -> None:
    columns = {"a": 1, "b": None}
    field = pa.field("a", pa.int64(), metadata={b"PARQUET:field_id": b"1"})
    assert difference(pa.schema([field, ("b", pa.int64())]), columns, frozenset()) == ""
    assert difference(pa.schema([("b", pa.int64()), ("a", pa.int64())]), columns, frozenset()) == ""
    assert difference(pa.schema([("a", pa.int64())]), columns, frozenset({"b"})) == ""
    assert difference(pa.schema([("a", pa.int64())]), columns, frozenset()) == "lacks b"
    assert difference(pa.schema([field, ("b", pa.int64()), ("c", pa.int64())]), columns, frozenset()) == "also has c"


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(CommandError, match=r"'nothing_such' is missing\. Install it with `pip install nothing_such`"):
        import_extra("nothing_such.module", "delta")


def test_files_are_relative_to_the_dataset() -> None:
    snapshot = TableSnapshot("t", (TableFile("s3a://datasets/events/day=1/a.parquet", 1),), {})
    assert list(manifests._keys(snapshot, "datasets", "events/")) == ["day=1/a.parquet"]
