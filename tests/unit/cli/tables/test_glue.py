"""Tables of the Glue Data Catalog: which objects the manifest names, and what is refused."""

import gzip
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.commands.executions.table_options import TableOptions
from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.tables.headers import header
from cli.tables.manifest import write_snapshot
from cli.tables.snapshot import TableChoice
from contract.problems import InvalidInputError
from contract.table.latest_predictions import covers_whole_datasets
from tests.unit.quick_moto import mock_aws

DEPLOYMENT = Deployment("test", "datasets", "models", "results", "table", "arn:a", "arn:b")
COLUMNS = [{"Name": "id", "Type": "bigint"}, {"Name": "x", "Type": "double"}]
PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
CSV = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ";"},
    },
}
JSON = {**CSV, "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}}
HEADER = {"skip.header.line.count": "1"}
CHOICE = TableChoice("glue", "events", name="lake.events")
Make = Callable[..., None]


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        for bucket in ("datasets", "results"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        boto3.client("glue").create_database(DatabaseInput={"Name": "lake"})
        yield


def put(key: str, body: bytes | None = None, names: tuple[str, str] = ("id", "x")) -> None:
    if body is None:
        sink = io.BytesIO()
        pq.write_table(pa.table({names[0]: [1], names[1]: [1.0]}), sink)
        body = sink.getvalue()
    boto3.client("s3").put_object(Bucket="datasets", Key=f"events/{key}", Body=body)


def create(
    descriptor: Mapping[str, Any] = PARQUET,
    *,
    location: str = "s3://datasets/events/",
    partition_keys: Mapping[str, str] | None = None,
    **table: Any,
) -> None:
    keys = [{"Name": name, "Type": kind} for name, kind in (partition_keys or {}).items()]
    described = {"Columns": COLUMNS, "Location": location, **descriptor}
    table_input = {"Name": "events", "StorageDescriptor": described, "PartitionKeys": keys, **table}
    boto3.client("glue").create_table(DatabaseName="lake", TableInput=table_input)


def add_partition(*values: str, location: str = "", descriptor: Mapping[str, Any] = PARQUET) -> None:
    described = {"Location": f"s3://datasets/events/{location}", **descriptor}
    partition = {"Values": list(values), "StorageDescriptor": described}
    boto3.client("glue").create_partition(DatabaseName="lake", TableName="events", PartitionInput=partition)


def resolved(*filters: tuple[str, str]) -> tuple[list[str], str, bool]:
    """Return the manifest's keys, its table, and whether its predictions may become the latest."""
    choice = TableChoice("glue", "events", name="lake.events", partitions=filters)
    key, manifest = write_snapshot(Connection(region="us-east-1"), DEPLOYMENT, choice)
    return (
        [item.key for item in manifest.objects],
        manifest.table,
        covers_whole_datasets(f'{{"objects_manifest":"{key}"}}'),
    )


def test_a_table_without_partitions_has_all_data_files_below_its_location() -> None:
    for key in ("a.parquet", "deep/b.parquet", "_SUCCESS", "_temporary/0/c.parquet", ".d.parquet", "e_$folder$"):
        put(key, None if key.endswith("parquet") else b"")
    create(location="s3a://datasets/events")
    keys, table, is_whole = resolved()
    assert (keys, is_whole) == (["a.parquet", "deep/b.parquet"], True)
    assert table.startswith("table lake.events of the Glue Data Catalog, version ")


def test_a_table_in_a_folder_never_has_the_latest_predictions() -> None:
    put("a/1.parquet")
    put("ab/2.parquet")
    create(location="s3://datasets/events/a")
    keys, _, is_whole = resolved()
    assert (keys, is_whole) == (["a/1.parquet"], False)


def test_only_chosen_partitions_of_the_catalog_count() -> None:
    create(partition_keys={"day": "string", "hour": "int"})
    for day, hour in (("1", "00"), ("1", "0"), ("2", "0"), ("it's", "0")):
        put(f"day={day}/hour={hour}/a.parquet")
        add_partition(day, hour, location=f"day={day}/hour={hour}/")
    put("day=3/hour=0/a.parquet")  # not in the catalog
    assert len(resolved()[0]) == 4
    keys, table, is_whole = resolved(("day", "1"), ("hour", "0"))
    assert (keys, is_whole) == (["day=1/hour=0/a.parquet"], False)
    assert table.endswith(", day=1, hour=0")
    assert resolved(("day", "it's"))[0] == ["day=it's/hour=0/a.parquet"]
    with pytest.raises(InvalidInputError, match=r"--table-partition: got 'day=9', expected a partition in"):
        resolved(("day", "9"))
    with pytest.raises(InvalidInputError, match="got 'dya=1', expected a partition column of the table: day, hour"):
        resolved(("dya", "1"))
    with pytest.raises(InvalidInputError, match="got 'day', expected each column once"):
        resolved(("day", "1"), ("day", "2"))


def test_null_partitions_are_read_and_tables_without_partitions_are_refused() -> None:
    create(partition_keys={"day": "string"})
    with pytest.raises(InvalidInputError, match=r"got 'every partition', expected a partition in the catalog\. Add"):
        resolved()
    put("day=__HIVE_DEFAULT_PARTITION__/a.parquet")
    add_partition("__HIVE_DEFAULT_PARTITION__", location="day=__HIVE_DEFAULT_PARTITION__")
    assert len(resolved()[0]) == 1


@pytest.mark.parametrize(
    ("location", "values", "message"),
    [
        ("2026/11/", ("2026-11",), r"its key has no part 'day=…/'"),
        ("day=1/", ("2",), "has another value of day than the table's"),
        ("day=1/", ("1",), "names 1 files more than once"),
        ("../other/", ("1",), r"has 1 locations that are not below s3://datasets/events/, such as s3://datasets/other"),
    ],
)
def test_partitions_that_keys_show_in_another_way_are_refused(location: str, values: tuple[str], message: str) -> None:
    create(partition_keys={"day": "string"})
    put("day=1/a.parquet")
    put("2026/11/a.parquet")
    if message.startswith("names"):
        add_partition("0", location="day=1")
    if location.startswith(".."):
        descriptor = {**PARQUET, "Location": "s3://datasets/other/day=1"}
        add_partition(*values, descriptor=descriptor)
    else:
        add_partition(*values, location=location)
    with pytest.raises(CommandError, match=message):
        resolved()


def test_files_with_other_columns_than_the_table_are_refused_and_case_is_not_compared() -> None:
    create()
    put("a.parquet", names=("ID", "X"))
    assert len(resolved()[0]) == 1
    put("b.parquet", names=("id", "y"))
    with pytest.raises(CommandError, match=r"has 1 of 2 files whose columns are not the table's: b.parquet lacks x"):
        resolved()


def test_a_partition_column_that_is_in_the_files_too_is_refused() -> None:
    create({**PARQUET, "Columns": COLUMNS[:1]}, partition_keys={"x": "double"})
    put("x=1.0/a.parquet")
    add_partition("1.0", location="x=1.0/")
    with pytest.raises(CommandError, match=r"x=1.0/a.parquet also has x"):
        resolved()


def test_csv_needs_a_header_in_the_tables_order() -> None:
    put("a.csv", b"ID;x\n1;2\n")
    put("b.csv.gz", gzip.compress(b'\xef\xbb\xbf"id";x\r\n1;2\r\n'))
    put("empty.csv", b"")
    create(CSV, Parameters=HEADER)
    assert resolved()[0] == ["a.csv", "b.csv.gz", "empty.csv"]
    put("c.csv", b"x;id\n2;1\n")
    with pytest.raises(
        CommandError, match=r"has 1 of 4 files whose header is not the table's columns id, x: c.csv has"
    ):
        resolved()


@pytest.mark.parametrize("head", [b"", b"\x1f\x8bdamaged", b"a" * (64 << 10), b"\xff\xfe\x00"])
def test_headers_that_cannot_be_read_have_no_names(head: bytes) -> None:
    assert header(head, ",") in ([], ["\x00"])


def test_json_lines_are_accepted() -> None:
    put("a.json", b'{"id": 1, "x": 2}\n')
    create(JSON)
    assert resolved()[0] == ["a.json"]


@pytest.mark.parametrize(
    ("descriptor", "table", "message"),
    [
        ({"SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.orc.OrcSerde"}}, {}, "OrcSerde.*UNLOAD"),
        (
            {**CSV, "InputFormat": "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"},
            {"Parameters": HEADER},
            "InputFormat",
        ),
        (PARQUET, {"Parameters": {"projection.enabled": "TRUE"}}, "projection.enabled: got 'true'.*ADD PARTITION"),
        (
            PARQUET,
            {"Parameters": {"table_type": "ICEBERG", "metadata_location": "s3://datasets/events/metadata/7.json"}},
            '--table iceberg --input \'{"dataset": "events"}\' --table-metadata s3://datasets/events/metadata/7.json',
        ),
        (PARQUET, {"Parameters": {"spark.sql.sources.provider": "DELTA"}}, "fleetscore run --table delta --input"),
        (PARQUET, {"TableType": "VIRTUAL_VIEW"}, "TableType: got 'VIRTUAL_VIEW', expected EXTERNAL_TABLE"),
        (PARQUET, {"TargetTable": {"DatabaseName": "far", "Name": "t"}}, "TargetTable: got 'far.t'"),
        ({**PARQUET, "Parameters": {"parquet.column.index.access": "true"}}, {}, "parquet.column.index.access: got"),
        (CSV, {}, "skip.header.line.count: got nothing, expected 1.*csv_columns"),
        (CSV, {"Parameters": {**HEADER, "skip.footer.line.count": "1"}}, "skip.footer.line.count: got '1'"),
        (
            {**JSON, "SerdeInfo": {**JSON["SerdeInfo"], "Parameters": {"mapping.id": "Identity"}}},
            {},
            "SerDe parameters: got .*'mapping.id'",
        ),
        ({**PARQUET, "Location": "hdfs://cluster/events"}, {}, "Location: got 'hdfs://cluster/events'"),
    ],
)
def test_tables_that_would_be_read_in_two_ways_are_refused(
    descriptor: Mapping[str, Any], table: Mapping[str, Any], message: str
) -> None:
    create(descriptor, **table)
    with pytest.raises(InvalidInputError, match=message):
        resolved()


def test_partitions_of_another_format_are_refused() -> None:
    create(partition_keys={"day": "string"})
    put("day=1/a.csv", b"id,x\n")
    add_partition("1", location="day=1", descriptor=CSV)
    with pytest.raises(InvalidInputError, match=r"partition day=1: SerializationLibrary: got .*, as the table has"):
        resolved()


@pytest.mark.parametrize("key", ["_delta_log/0.json", ".hoodie/hoodie.properties", "metadata/v1.metadata.json"])
def test_files_of_other_table_formats_are_refused(key: str) -> None:
    create()
    put(key, b"{}")
    with pytest.raises(CommandError, match="files of another table format"):
        resolved()


def test_a_missing_table_is_refused() -> None:
    with pytest.raises(
        CommandError, match=r"--table-name: got 'lake.events', expected a table of the Glue Data Catalog"
    ):
        resolved()


def test_options_of_other_formats_are_refused_together() -> None:
    options = TableOptions("glue", 3, None, "f", None, "events", ("day",))
    with pytest.raises(InvalidInputError, match="4 problems") as refused:
        options.choice('{"dataset": "events"}')
    assert [problem.field for problem in refused.value.problems] == [
        "--table-folder",
        "--table-version",
        "--table-name",
        "--table-partition",
    ]
    with pytest.raises(InvalidInputError, match=r"--table-name: got 'lake.events', expected no value"):
        TableOptions("delta", None, None, None, None, "lake.events").choice('{"dataset": "events"}')
    good = TableOptions("glue", None, None, None, None, "lake.events", ("day=a=b",))
    assert good.choice('{"dataset": "events"}') == TableChoice(
        "glue", "events", name="lake.events", partitions=(("day", "a=b"),)
    )
