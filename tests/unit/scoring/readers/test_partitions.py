"""Columns from an object's key."""

import io
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


def test_a_column_that_the_object_already_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the columns \['a'\], which partition_columns also takes from its key"):
        read_object(tmp_path, "a=1/x.csv", CONTENTS["x.csv"], TYPES, partitions=("a",))


def test_models_with_different_column_types_cannot_share_a_job(tmp_path: Path) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    wanted = JobInput(InputOptions(), TYPES, conflicts=("column 'a' is double for model 'x' and int64 for 'y'",))
    with pytest.raises(ConfigurationError, match=r"column 'a' is double .* score them in separate jobs"):
        open_object("x.csv", tmp_path / "x.csv", wanted)
    # Parquet objects have types.
    with open_object("x.parquet", tmp_path / "x.parquet", wanted) as source:
        assert source.rows == 3
