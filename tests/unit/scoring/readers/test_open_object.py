"""Which format an object is read in, and which objects hold no data."""

import gzip
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.dataset.input_options import InputOptions
from contract.job.job_input import JobInput
from scoring.errors import DataError
from scoring.readers import EmptyObject, InputObject, open_object
from tests.unit.scoring.readers.reading import read_object

TYPES = {"id": "int64", "age": "double"}
NEEDED = (frozenset(TYPES),)
VALUES = {"id": [7, 8], "age": [41.0, 42.5]}
CSV = b"id,age\n7,41\n8,42.5\n"
JSON_LINES = b'{"id":7,"age":41}\n{"id":8,"age":42.5}\n'


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def pzstd(*frames: bytes) -> bytes:
    """Return frames as pzstd writes them: before each, one that readers skip, with the frame's size."""
    compressed = [zstd(frame) for frame in frames]
    return b"".join(struct.pack("<III", 0x184D2A50, 4, len(frame)) + frame for frame in compressed)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": pa.array(VALUES["id"], pa.int64()), "age": VALUES["age"]}), sink)
    return bytes(sink.getvalue())


def opened(folder: Path, key: str, content: bytes, **options: Any) -> InputObject:
    (folder / key).write_bytes(content)
    return open_object(key, folder / key, JobInput(InputOptions(**options), TYPES, needed=NEEDED))


def values(source: InputObject) -> dict[str, list[Any]]:
    with source:
        batches = [item.batch for item in source.batches(10, frozenset(TYPES), use_threads=False)]
    return pa.Table.from_batches(batches).select(list(TYPES)).to_pydict()


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("a.pq", parquet()),
        ("a.PARQUET", parquet()),
        ("part-00000-uuid.snappy.parquet", parquet()),
        ("A.CSV", CSV),
        ("a.csv", gzip.compress(CSV)),
        ("a.csv.gz", CSV),
        ("a.csv.gz", zstd(CSV)),
        ("part-0.json", JSON_LINES),
        ("part-0.json.gz", gzip.compress(JSON_LINES)),
        ("a.csv.gz", gzip.compress(CSV[:9]) + gzip.compress(CSV[9:])),
        ("a.csv.gz", gzip.compress(b"") + gzip.compress(CSV)),
        ("a.csv.zst", pzstd(CSV)),
        ("a.csv.zst", pzstd(CSV[:9], CSV[9:])),
        ("a.csv.zst", zstd(b"") + zstd(CSV)),
        ("a.csv.zst", zstd(CSV[:9]) + zstd(CSV[9:])),
    ],
)
def test_names_and_compressions_that_other_tools_write(tmp_path: Path, key: str, content: bytes) -> None:
    source = opened(tmp_path, key, content)
    assert source.notes == ()
    assert values(source) == VALUES


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (parquet(), "Parquet"),
        (CSV, "CSV"),
        (gzip.compress(CSV), "CSV in gzip"),
        (JSON_LINES, "JSON Lines"),
        (gzip.compress(JSON_LINES), "JSON Lines in gzip"),
        (pzstd(JSON_LINES), "JSON Lines in zstd"),
        (b"\xef\xbb\xbf\n" + CSV, "CSV"),
    ],
)
@pytest.mark.parametrize("key", ["20260101_000000_00001_abcde", "20260101_x.gz", "a.txt"])
def test_content_shows_the_format_if_the_name_does_not(tmp_path: Path, key: str, content: bytes, kind: str) -> None:
    source = opened(tmp_path, key, content)
    assert source.notes == (f"objects whose names say no format were read as {kind}, which their content shows",)
    assert values(source) == VALUES


@pytest.mark.parametrize(
    ("key", "declared", "content", "options"),
    [
        ("000", "csv", b"7,41\n8,42.5\n", {"csv_header": False, "csv_columns": ("id", "age")}),
        ("000.gz", "csv", gzip.compress(CSV), {}),
        ("a.txt", "tsv", CSV.replace(b",", b"\t"), {}),
        ("a.csv", "jsonl", JSON_LINES, {}),
        ("a.json", "csv", CSV, {}),
        ("a.tsv", "csv", CSV, {}),
        ("a.csv", "parquet", parquet(), {}),
    ],
)
def test_the_records_format_replaces_that_of_the_name(
    tmp_path: Path, key: str, declared: str, content: bytes, options: dict[str, Any]
) -> None:
    source = opened(tmp_path, key, content, format=declared, **options)
    assert source.notes == ()
    assert values(source) == VALUES


@pytest.mark.parametrize(
    ("key", "content", "options", "why"),
    [
        ("000", b"age\n41\n", {}, r"its first line is not a header with .*: set input\.format in the model's record"),
        ("000", b"7,41\n", {"csv_header": False}, r"text without a header .* cannot be recognized"),
        ("000.gz", gzip.compress(parquet()), {}, r"it is Parquet in gzip or zstd: store it without"),
        ("000", b"Obj\x01", {}, r"it looks like Avro: convert or remove it"),
        ("000", gzip.compress(CSV)[:-9], {}, r"it is damaged or was cut off"),
        ("a.orc", CSV, {"format": "csv"}, r"is ORC by its name"),
        (
            "a.csv",
            parquet(),
            {"format": "csv"},
            r"is not CSV as the record \(input\.format\) says, .* Parquet: correct",
        ),
        ("000", CSV, {"format": "parquet"}, r"is not Parquet as the record"),
        ("a.csv", JSON_LINES, {"format": "parquet"}, r"looks like something else: correct the record"),
    ],
)
def test_objects_that_show_no_or_another_format_are_refused(
    tmp_path: Path, key: str, content: bytes, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(DataError, match=why):
        opened(tmp_path, key, content, **options)


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd, lambda text: pzstd(text, b"")])
@pytest.mark.parametrize("key", ["a.csv", "a.tsv.gz", "a.json.zst", "000"])
def test_objects_without_data_have_no_rows(tmp_path: Path, key: str, compress: Any, text: bytes) -> None:
    with opened(tmp_path, key, compress(text)) as source:
        assert isinstance(source, EmptyObject)
        assert (source.rows, list(source.batches(10, frozenset(), use_threads=False))) == (0, [])


def test_no_bytes_are_no_data_in_parquet_too(tmp_path: Path) -> None:
    """Spark, Trino and Hive skip such files, whatever their format."""
    with opened(tmp_path, "part-0.parquet", b"") as source:
        assert isinstance(source, EmptyObject)


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"")])
def test_columns_without_a_header_are_known_without_data(tmp_path: Path, content: bytes) -> None:
    found = read_object(tmp_path, "a.csv", content, TYPES, csv_header=False, csv_columns=("id", "more", "age"))
    assert found.rows == 0
    assert [str(field.type) for field in found.schema] == ["int64", "string", "double"]


def test_blank_lines_without_an_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its beginning is blank"):
        opened(tmp_path, "a.json", b"\n" * (1 << 20) + JSON_LINES)
    with pytest.raises(DataError, match="its beginning is blank"):
        opened(tmp_path, "000", b"\n" * (1 << 20) + CSV)
