"""Tables of Delta Lake, Iceberg and Hudi among objects."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambdas.dataset.table_files import FoundTable, find_tables, is_iceberg_file, probe_tables

UUID = "1e7f6cb9-a4ea-4b9f-9f0f-34c55e7f8f0c"
DELTA = "_delta_log/00000000000000000000.json"
ICEBERG = f"metadata/00003-{UUID}.metadata.json"
HUDI = ".hoodie/hoodie.properties"
PLAIN = ["a.parquet", "day=1/b.csv", "_SUCCESS", f"part-00000-{UUID}-c000.snappy.parquet", "metadata/notes.json"]


def kinds(*keys: str) -> list[tuple[str, str]]:
    return [(table.format, table.folder) for table in find_tables([*PLAIN, *keys])]


@pytest.mark.parametrize(
    ("key", "kind", "folder"),
    [
        (DELTA, "delta", ""),
        (f"events/{DELTA}", "delta", "events/"),
        ("x/_delta_log/_last_checkpoint", "delta", "x/"),
        (ICEBERG, "iceberg", ""),
        ("events/metadata/v7.metadata.json", "iceberg", "events/"),
        ("metadata/v7.gz.metadata.json", "iceberg", ""),
        (f"00000-0-{UUID}.parquet", "iceberg", ""),
        (f"day=1/00004-12-{UUID}-0-00001.parquet", "iceberg", "day=1/"),
        (f"00004-12-{UUID}-00001-deletes.parquet", "iceberg", ""),
        (HUDI, "hudi", ""),
        ("events/day=1/.hoodie_partition_metadata", "hudi", "events/day=1/"),
        (f"day=1/{UUID}-0_0-25-33_20240101120000000.parquet", "hudi", "day=1/"),
    ],
)
def test_each_way_to_recognize_a_table(key: str, kind: str, folder: str) -> None:
    assert kinds(key) == [(kind, folder)]


def test_other_datasets_are_no_tables() -> None:
    assert kinds(f"{UUID}.parquet", "00000-0-abc.parquet", "delta_log/1.json", "hoodie/x", "x.metadata.json") == []


def test_a_table_is_found_once_whatever_its_files_are_named() -> None:
    data = [f"data/day={day}/00000-0-{UUID}.parquet" for day in range(5)]
    assert kinds(*data) == [("iceberg", "data/")]
    assert kinds(*data, ICEBERG) == [("iceberg", "")]
    assert kinds(f"a/{DELTA}", f"b/{DELTA}", f"b/c/{HUDI}") == [("delta", "a/"), ("delta", "b/"), ("hudi", "b/c/")]


def test_metadata_of_an_iceberg_table_is_no_data() -> None:
    [table] = find_tables([f"t/{ICEBERG}", "t/data/a.parquet"])
    assert table.is_metadata("t/metadata/snap-1.avro")
    assert not table.is_metadata("t/data/a.parquet")


def test_tables_around_uploads_are_found_without_a_listing() -> None:
    asked: list[str] = []
    stored = sorted([f"t/{DELTA}", f"other/{ICEBERG}", "t/day=1/a.parquet"])

    def first_keys(prefix: str) -> list[str]:
        asked.append(prefix)
        return [key for key in stored if key.startswith(prefix)]

    uploads = [f"t/day={day}/hour={day}/a.parquet" for day in range(1_000)]
    assert probe_tables(uploads, first_keys, list) == [FoundTable("delta", "t/", f"t/{DELTA}")]
    assert len(asked) == 8
    assert probe_tables(["day=1/a.parquet"], first_keys, list) == []
    assert probe_tables(["other/data/a.parquet"], first_keys, list)[0].format == "iceberg"


def test_tables_around_uploads_in_many_folders_are_found_by_a_listing() -> None:
    def first_keys(prefix: str) -> list[str]:
        pytest.fail(f"asked for {prefix}")

    uploads = [f"customer-{number:03}/events/a.parquet" for number in range(300)]
    stored = [*uploads, f"customer-299/events/{DELTA}", f"elsewhere/{DELTA}"]
    folder = "customer-299/events/"
    assert probe_tables(uploads, first_keys, lambda: stored) == [FoundTable("delta", folder, folder + DELTA)]


@pytest.mark.parametrize("noise", [0, 100_000])
def test_a_footer_tells_of_iceberg(noise: int) -> None:
    def written(metadata: dict[bytes, bytes] | None) -> bytes:
        buffer = io.BytesIO()
        # The words among the data mean nothing.
        table = pa.table({"a": ["iceberg.schema"], "b": [b"\0" * noise]}).replace_schema_metadata(metadata)
        pq.write_table(table, buffer, compression="none", use_dictionary=False, write_statistics=False)
        return buffer.getvalue()

    def is_iceberg(content: bytes) -> bool:
        return is_iceberg_file(len(content), lambda start, end: content[start:end])

    assert is_iceberg(written({b"iceberg.schema": b"{}"}))
    assert not is_iceberg(written({b"pandas": b"{}"}))
    assert not is_iceberg(b"a,b\niceberg.schema\n")
    assert not is_iceberg(b"")
