"""What a footer says about columns is read as pyarrow reads it, without what ends the process in pyarrow."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from contract.dataset.thrift_compact import (
    BINARY,
    I32,
    STRUCT,
    Struct,
    ThriftError,
    Value,
    i64,
    read_struct,
    write_binary,
    write_integer,
    write_struct,
)
from scoring.errors import DataError
from scoring.readers.column_numbers import ColumnNumbers
from scoring.readers.parquet_object import ParquetObject
from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.any_file import AnyFile, any_files
from tests.unit.scoring.splice.support.footers import (
    changed,
    footer_of,
    in_first_chunk,
    in_first_column,
    in_first_group,
)
from tests.unit.scoring.splice.support.parquet_writers import WRITERS, Writer

KEY = "a.parquet"
TYPE, BYTES, STATISTICS = 1, 6, 12
"""Fields of ColumnMetaData."""
CRYPTO = 8
"""Field of ColumnChunk."""


def assert_as_in_pyarrow(path: Path) -> None:
    metadata = pq.read_metadata(path)
    found = ColumnNumbers(footer_of(path.read_bytes()), metadata.num_columns)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    for index in range(metadata.num_columns):
        chunks = [group.column(index) for group in groups]
        assert found.stored_bytes[index] == sum(chunk.total_uncompressed_size for chunk in chunks)
        # pyarrow does not show the statistics of types without an order.
        if all(chunk.is_stats_set for chunk in chunks):
            counts = [chunk.statistics.null_count for chunk in chunks]
            assert found.nulls[index] == (None if None in counts else sum(counts))


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_files_of_other_writers(write: Writer, tmp_path: Path) -> None:
    write(tmp_path / KEY)
    assert_as_in_pyarrow(tmp_path / KEY)


@examples(quick=30, fuzz=400)
@given(any_files())
def test_any_file(file: AnyFile) -> None:
    with TemporaryDirectory() as folder:
        assert_as_in_pyarrow(file.write(Path(folder) / KEY))


def encrypted(chunk: Struct) -> None:
    chunk[CRYPTO] = Value(STRUCT, write_struct({2: Value(STRUCT, write_struct({}))}))


def another_type(column: Struct) -> None:
    column[TYPE] = Value(I32, write_integer(7))


def short_minimum(column: Struct) -> None:
    statistics = read_struct(column[STATISTICS].raw)
    statistics[5] = statistics[6] = Value(BINARY, write_binary(b"x"))
    column[STATISTICS] = Value(STRUCT, write_struct(statistics))


def negative_bytes(column: Struct) -> None:
    column[BYTES] = i64(-1)


def no_chunks(group: Struct) -> None:
    group[1] = Value(group[1].kind, b"\x0c")


DAMAGE: dict[str, Any] = {
    "encrypted": in_first_chunk(encrypted),
    "another type": in_first_column(another_type),
    "short minimum": in_first_column(short_minimum),
    "negative bytes": in_first_column(negative_bytes),
    "no chunks": in_first_group(no_chunks),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_description_is_refused(tmp_path: Path, damage: str) -> None:
    """pyarrow would end the process, and the job would blame the worker instead of the object."""
    table = pa.table({"x": [1.5, None], "text": ["a", "b"]})
    pq.write_table(table, tmp_path / KEY)
    changed(tmp_path / KEY, DAMAGE[damage])

    def read() -> None:
        with ParquetObject(KEY, tmp_path / KEY) as source:
            source.null_counts(["x", "text"])
            list(source.batches(10, frozenset(table.column_names), use_threads=False))

    with pytest.raises(DataError, match=r"object 'a\.parquet' cannot be read as Parquet .*; write it again$"):
        read()


def test_a_negative_number_of_nulls_is_counted_instead(tmp_path: Path) -> None:
    def negative(column: Struct) -> None:
        statistics = read_struct(column[STATISTICS].raw)
        statistics[3] = i64(-5)
        column[STATISTICS] = Value(STRUCT, write_struct(statistics))

    pq.write_table(pa.table({"x": [1.5, None, None]}), tmp_path / KEY)
    changed(tmp_path / KEY, in_first_column(negative))
    with ParquetObject(KEY, tmp_path / KEY) as source:
        assert source.null_counts(["x"]) == {"x": 2}


def test_a_row_group_with_more_columns_than_the_schema(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [2]}), tmp_path / KEY)
    with pytest.raises(ThriftError, match="a row group has more columns than the schema, which has 1"):
        ColumnNumbers(footer_of((tmp_path / KEY).read_bytes()), 1)
