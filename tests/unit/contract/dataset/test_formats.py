"""Formats, input options, column names and partitions of objects."""

import pytest

from contract.catalog.model_fields import Feature
from contract.codec import from_json
from contract.dataset.formats import (
    ObjectFormat,
    contradiction,
    extension_of,
    format_of,
    other_format,
    with_compression,
)
from contract.dataset.input_options import InputOptions
from contract.dataset.partitions import partition_values
from contract.dataset.text_head import HeadError, NoDataError, head_names
from contract.job.job_input import input_of, shared_input, types_agree
from contract.problems import InvalidInputError
from tests.unit.lambdas.builders import any_model_spec


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.parquet", "Parquet"),
        ("a.csv", "CSV"),
        ("a.csv.gz", "CSV in gzip"),
        ("a.tsv.zst", "TSV in zstd"),
        ("a.jsonl", "JSON Lines"),
        ("a.ndjson.gz", "JSON Lines in gzip"),
        ("part-0.json", "JSON Lines"),
        ("part-0.JSON.Gz", "JSON Lines in gzip"),
        ("part-0.snappy.parquet", "Parquet"),
        ("a.pq", "Parquet"),
        ("A.PARQ", "Parquet"),
        ("A.CSV", "CSV"),
    ],
)
def test_extension_of_the_key_names_the_format(key: str, expected: str) -> None:
    assert str(format_of(key)) == expected
    assert key.lower().endswith(extension_of(key))


@pytest.mark.parametrize("key", ["a", "a.txt", "a.parquet.gz", "a.gz", "csv", "a.csv/b"])
def test_unknown_extensions_have_no_format(key: str) -> None:
    assert format_of(key) is None
    assert extension_of(key) == ""


@pytest.mark.parametrize(
    ("key", "first", "found"),
    [
        ("a.parquet", b"PAR1", ""),
        ("a.parquet", b"PARE", ""),
        ("a.parquet", b"a,b\n", "something else"),
        ("a.csv", b"a,b\n", ""),
        ("a.csv", b"ORC,b\n", ""),
        ("a.csv", b"ORC\x11\0\0", "ORC"),
        ("a.csv", b"\xff\xfea\0", "text in UTF-16"),
        ("a.csv", b"\x1f\x8b\x08", ""),
        ("a.csv.gz", b"\x1f\x8b\x08", ""),
        ("a.csv.gz", b"a,b\n", ""),
        ("a.csv.gz", b"\x1f\x00\x08", "something else"),
        ("a.jsonl.zst", b"\x1f\x8b\x08", ""),
        ("a.csv.zst", b"\x5f\x2a\x4d\x18", ""),
        ("a.parquet", b"\x50\x2a\x4d\x18", "zstd"),
    ],
)
def test_first_bytes_can_contradict_the_format(key: str, first: bytes, found: str) -> None:
    kind = format_of(key)
    assert kind is not None
    assert contradiction(first, kind) == found


def test_declared_format_replaces_that_of_the_extension() -> None:
    assert str(format_of("a.txt", "csv")) == "CSV"
    assert str(format_of("a.csv", "tsv")) == "TSV"
    assert str(format_of("a.csv.gz", "jsonl")) == "JSON Lines"
    with pytest.raises(InvalidInputError, match="format: got 'orc'"):
        from_json(InputOptions, {"schema_version": 2, "format": "orc"})


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("a.orc", "ORC"),
        ("A.AVRO", "Avro"),
        ("a.csv.bz2", "a compression that is not supported"),
        ("a.csv.metadata", "metadata of another tool"),
        ("a.csv", ""),
        ("a.orc/b", ""),
        ("orc", ""),
        ("a.txt", ""),
    ],
)
def test_names_of_other_formats_are_recognized(key: str, found: str) -> None:
    assert other_format(key) == found


def test_compression_of_text_is_that_of_the_content() -> None:
    csv = ObjectFormat("csv")
    skippable = b"\x50\x2a\x4d\x18"
    assert [str(with_compression(csv, first)) for first in (b"a,b", b"\x1f\x8b", skippable)] == [
        "CSV",
        "CSV in gzip",
        "CSV in zstd",
    ]
    assert str(with_compression(ObjectFormat("csv", "gzip"), b"a,b")) == "CSV"


def test_invalid_input_options_are_all_reported_at_once() -> None:
    with pytest.raises(InvalidInputError) as refused:
        InputOptions(csv_delimiter=";;", csv_quote="\n", csv_columns=("a", "a"), null_values=("-", "-"))
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["csv_delimiter", "csv_quote", "csv_columns", "csv_columns", "null_values"]
    with pytest.raises(InvalidInputError, match="one ASCII character that is not the delimiter, or nothing"):
        InputOptions(csv_delimiter="'", csv_quote="'")
    with pytest.raises(InvalidInputError, match="A tab is"):
        InputOptions(csv_delimiter=r"\t")


def test_row_number_column_named_like_an_output_column_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="row_number_column: got 'distance'"):
        any_model_spec(row_number_column="distance")
    keys_only = any_model_spec(row_number_column="distance", columns="keys", key_columns=("id",))
    assert keys_only.row_number_column == "distance"
    assert any_model_spec(row_number_column="distance", partition_columns=("distance",))


def test_csv_columns_that_lack_a_feature_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="these are missing: hour"):
        any_model_spec(input=InputOptions(csv_header=False, csv_columns=("distance", "id")))
    with pytest.raises(InvalidInputError, match="names without '=' and '/'"):
        any_model_spec(partition_columns=("day=1",))
    # Columns from the key are not in the file.
    options = InputOptions(csv_header=False, csv_columns=("distance",))
    assert any_model_spec(input=options, partition_columns=("hour",)).input == options


def test_without_a_header_columns_are_features_then_keys() -> None:
    spec = any_model_spec(
        input=InputOptions(csv_header=False), key_columns=("id", "hour", "day"), partition_columns=("day",)
    )
    assert input_of(spec).options.csv_columns == ("distance", "hour", "id")


def test_models_with_equal_options_share_one_input() -> None:
    other = any_model_spec("other", features=(Feature("distance", "double"), Feature("carrier", "string")))
    shared = shared_input([any_model_spec(), other])
    assert shared.types == {"distance": "double", "hour": "int32", "carrier": "string"}
    assert shared.conflicts == ()


def test_models_that_disagree_are_named() -> None:
    other = any_model_spec(
        "other",
        features=(Feature("distance", "float"),),
        input=InputOptions(csv_delimiter=";"),
        partition_columns=("day",),
    )
    conflicts = shared_input([any_model_spec(), other]).conflicts
    assert conflicts == (
        "models 'delays-ua' and 'other' read objects in different ways (input)",
        "models 'delays-ua' and 'other' have different partition_columns",
        "column 'distance' is double for model 'delays-ua' and float for 'other'",
    )
    assert not types_agree({"a": "double"}, {"a": "float"})
    assert types_agree({"a": "double"}, {"b": "float"})


def test_partition_values_are_decoded_and_exclude_the_file_name() -> None:
    values = partition_values("x=1/a%3Db=%C3%A9%2F1/__x=2/y=z.csv", ("a=b", "x"))
    assert values == {"a=b": "é/1", "x": "1"}
    with pytest.raises(ValueError, match="its key has no part 'y=…/'"):
        partition_values("x=1/y=z.csv", ("y",))


CSV = format_of("a.csv")
JSON_LINES = format_of("a.jsonl")
assert CSV is not None
assert JSON_LINES is not None


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (b"a,b\n1,2\n", ("a", "b")),
        (b"\n\r\na,b", ("a", "b")),
        (b'\xef\xbb\xbf"a\nx","b, ""c"""\r1,2', ("a\nx", 'b, "c"')),
        ("Größe,b\n".encode() + b"\xff", ("Größe", "b")),
        (b'5" pipe,b\n', ('5" pipe', "b")),
    ],
)
def test_csv_column_names_come_from_the_first_line(head: bytes, names: tuple[str, ...]) -> None:
    assert head_names(head, CSV, InputOptions(), whole=True) == names  # type: ignore[arg-type]


def test_head_without_the_whole_header_is_refused() -> None:
    with pytest.raises(HeadError, match="its first line is longer than 1,048,576 bytes"):
        head_names(b"a,b", CSV, InputOptions(), whole=False)  # type: ignore[arg-type]
    with pytest.raises(HeadError, match="its first line is longer than"):
        head_names(b'{"a":1', JSON_LINES, InputOptions(), whole=False)  # type: ignore[arg-type]


def test_json_lines_names_come_from_all_complete_lines_of_the_head() -> None:
    head = b'{"a":1}\nbad\n{"b":1,"a":2}\n{"\\ud800":1}\n{"c":1}'
    assert head_names(head, JSON_LINES, InputOptions(), whole=False) == ("a", "b")  # type: ignore[arg-type]
    assert head_names(head, JSON_LINES, InputOptions(), whole=True) == ("a", "b", "c")  # type: ignore[arg-type]


@pytest.mark.parametrize("head", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_text_without_data_has_no_names(head: bytes) -> None:
    for kind in (CSV, JSON_LINES):
        with pytest.raises(NoDataError):
            head_names(head, kind, InputOptions(), whole=True)  # type: ignore[arg-type]
    without_header = InputOptions(csv_header=False, csv_columns=("a",))
    assert head_names(head, CSV, without_header, whole=True) == ("a",)  # type: ignore[arg-type]
