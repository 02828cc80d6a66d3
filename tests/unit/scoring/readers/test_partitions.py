"""Columns from an object's key."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.dataset.input_options import InputOptions
from contract.job.job_input import JobInput
from scoring.errors import ConfigurationError, DataError
from scoring.readers import open_object
from tests.unit.scoring.readers.reading import read_object


def parquet(table: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, row_group_size=2)
    return buffer.getvalue()


CONTENTS = {
    "x.parquet": parquet({"a": [1.0, 2.0, 3.0]}),
    "x.csv": b"a\n1\n2\n3\n",
    "x.jsonl": b'{"a":1}\n{"a":2}\n{"a":3}\n',
}
TYPES = {"a": "double", "month": "int32"}


@pytest.mark.parametrize("name", CONTENTS)
def test_parts_of_the_key_are_columns_in_every_format(tmp_path: Path, name: str) -> None:
    key = f"carrier=U%20A/month=07/{name}"
    found = read_object(tmp_path, key, CONTENTS[name], TYPES, rows=2, partitions=("month", "carrier"))
    assert found.schema.names == ["a", "month", "carrier"]
    assert [str(field.type) for field in found.schema] == ["double", "int32", "string"]
    assert found.values == {"a": [1.0, 2.0, 3.0], "month": [7, 7, 7], "carrier": ["U A"] * 3}


@pytest.mark.parametrize("name", CONTENTS)
def test_only_columns_from_the_key_may_be_requested(tmp_path: Path, name: str) -> None:
    found = read_object(tmp_path, f"month=7/{name}", CONTENTS[name], TYPES, partitions=("month",), columns=["month"])
    assert found.values == {"month": [7, 7, 7]}


def test_hives_null_value_is_null(tmp_path: Path) -> None:
    key = "month=__HIVE_DEFAULT_PARTITION__/x.csv"
    found = read_object(tmp_path, key, CONTENTS["x.csv"], TYPES, partitions=("month",))
    assert found.values["month"] == [None] * 3
    with open_object(key, tmp_path / key, JobInput(types=TYPES, partition_columns=("month",))) as source:
        assert source.null_counts(["month", "a"]) == {"month": 1}


def test_row_groups_can_be_read_separately(tmp_path: Path) -> None:
    key = "month=7/x.parquet"
    (tmp_path / "month=7").mkdir()
    (tmp_path / key).write_bytes(CONTENTS["x.parquet"])
    with open_object(key, tmp_path / key, JobInput(types=TYPES, partition_columns=("month",))) as source:
        assert source.group_rows() == [2, 1]
        columns = frozenset({"a", "month"})
        [item] = source.batches(10, columns, use_threads=False, groups=(1, 2))
        assert (item.first_row, item.batch.to_pydict()) == (2, {"a": [3.0], "month": [7]})


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("x.csv", "its key has no part 'month=…/', which partition_columns needs: move the object"),
        ("month=1/month=2/x.csv", "its key has month more than once"),
        ("month=july/x.csv", "its key says month='july', but the record expects int32: move the object"),
        ("month=%FF/x.csv", "its key has month=%FF, which is not UTF-8 when decoded"),
    ],
)
def test_a_key_without_the_column_is_refused(tmp_path: Path, key: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_object(tmp_path, key, CONTENTS["x.csv"], TYPES, partitions=("month",))


NAN = float("nan")
DAY = dt.date(2026, 7, 1)
TIME = dt.datetime(2026, 7, 1, 10)  # noqa: DTZ001 - of a column without a time zone
SAME = [
    ("7", pa.array([7, 7], pa.int64()), "int64"),
    ("07", pa.array([7, 7], pa.int32()), "int64"),
    ("07", pa.array([7, 7], pa.int32()), ""),
    ("7.0", pa.array([7, 7], pa.int32()), "double"),
    ("7.0", pa.array([7, 7], pa.int32()), "int32"),
    ("07", pa.array(["7.0", " 7"]), "int64"),
    ("0.1", pa.array([0.1, 0.1], pa.float32()), "double"),
    ("nan", pa.array([NAN, NAN]), "double"),
    ("07", pa.array(["07", "07"]), ""),
    ("U%20A", pa.array(["U A", "U A"]).dictionary_encode(), "string"),
    ("U A", pa.array(["U A", "U A"], pa.large_string()), "string"),
    ("true", pa.array([True, True]), "bool"),
    ("2026-07-01", pa.array([DAY, DAY]), ""),
    ("2026-07-01 10%3A00%3A00", pa.array([TIME, TIME]), ""),
    ("1.5", pa.array([Decimal("1.50")] * 2), ""),
    ("__HIVE_DEFAULT_PARTITION__", pa.array([None, None], pa.int32()), "int32"),
]
DIFFERENT = [
    ("7", pa.array([7, 8]), "int64", "row 1 has another value in column 'part'"),
    ("07", pa.array(["07", "7"]), "", "row 1 has another value in column 'part'"),
    ("7", pa.array([7, None]), "", "row 1 has another value in column 'part'"),
    ("__HIVE_DEFAULT_PARTITION__", pa.array([None, 1]), "", "row 1 has another value in column 'part'"),
    ("nan", pa.array([NAN, 1.0]), "", "row 1 has another value in column 'part'"),
    ("july", pa.array([7, 7]), "", "its key says part='july', which is no int64, the type of the object's column"),
]


@pytest.mark.parametrize(("text", "column", "declared"), SAME)
def test_a_column_of_the_file_that_equals_the_key_is_kept_as_it_is(
    tmp_path: Path, text: str, column: pa.Array, declared: str
) -> None:
    key, types = f"part={text}/x.parquet", {"part": declared} if declared else {}
    found = read_object(tmp_path, key, parquet({"part": column, "a": [1, 2]}), types, partitions=("part",), rows=1)
    assert found.schema.names == ["part", "a"]
    assert found.schema.field("part").type == column.type
    # As text, because NaN is not equal to itself.
    assert str(found.values["part"]) == str(column.to_pylist())


@pytest.mark.parametrize(("text", "column", "declared", "why"), DIFFERENT)
def test_a_file_that_contradicts_its_key_is_refused_by_name(
    tmp_path: Path, text: str, column: pa.Array, declared: str, why: str
) -> None:
    key, types = f"part={text}/x.parquet", {"part": declared} if declared else {}
    content = parquet({"part": column, "a": [1, 2]})
    # The column is compared also when nobody reads it.
    with pytest.raises(DataError) as refused:
        read_object(tmp_path, key, content, types, partitions=("part",), rows=1, columns=["a"])
    assert f"object {key!r}: {why}" in refused.value.text
    assert "correct the column or move the object, or remove the name from the record's" in refused.value.text


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", b"a,month\n1,7\n2,%s\n"), ("x.jsonl", b'{"a":1,"month":7}\n{"a":2,"month":%s}\n')]
)
def test_columns_of_text_are_compared_with_the_key(tmp_path: Path, name: str, content: bytes) -> None:
    key = f"month=07/{name}"
    found = read_object(tmp_path, key, content % b"7", TYPES, partitions=("month",))
    assert found.values == {"a": [1.0, 2.0], "month": [7, 7]}
    with pytest.raises(DataError, match="row 1 has another value in column 'month'"):
        read_object(tmp_path, key, content % b"8", TYPES, partitions=("month",))


def test_a_column_without_a_declared_type_is_compared_as_text(tmp_path: Path) -> None:
    content = b"a,month\n1,7\n2,7\n"
    assert read_object(tmp_path, "month=7/x.csv", content, {}, partitions=("month",)).values["month"] == ["7", "7"]
    with pytest.raises(DataError, match="row 0 has another value"):
        read_object(tmp_path, "month=07/x.csv", content, {}, partitions=("month",))


def test_models_with_different_column_types_cannot_share_a_job(tmp_path: Path) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    wanted = JobInput(InputOptions(), TYPES, conflicts=("column 'a' is double for model 'x' and int64 for 'y'",))
    with pytest.raises(ConfigurationError, match=r"column 'a' is double .* score them in separate jobs"):
        open_object("x.csv", tmp_path / "x.csv", wanted)
    # Parquet objects have types.
    with open_object("x.parquet", tmp_path / "x.parquet", wanted) as source:
        assert source.rows == 3
