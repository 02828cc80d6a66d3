from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.errors import DataError
from scoring.readers import row_groups
from scoring.readers.parquet_object import ParquetObject

ROWS = 1_000
TABLE = pa.table(
    {
        "double": pa.array([None if index % 7 == 0 else index / 3 for index in range(ROWS)]),
        "text": pa.array([None if index % 5 == 0 else f"text {index % 11}" for index in range(ROWS)]),
        "coded": pa.array([f"code {index % 3}" for index in range(ROWS)]).dictionary_encode(),
        "many": pa.array([[index, None] if index % 2 else [] for index in range(ROWS)], pa.list_(pa.int16())),
        "inside": pa.array([{"a": index, "b": {"c": str(index)}} for index in range(ROWS)]),
        "flag": pa.array([index % 2 == 0 for index in range(ROWS)]),
        "when": pa.array(range(ROWS), pa.timestamp("us", "UTC")),
    }
)


def read(path: Path, rows: int, columns: frozenset[str], groups: tuple[int, int] | None = None) -> pa.Table:
    with ParquetObject(path.name, path) as source:
        items = list(source.batches(rows, columns, use_threads=False, groups=groups))
    first = items[0].first_row if items else 0
    for item in items:
        assert item.first_row == first
        assert item.batch.num_rows <= rows
        first += item.batch.num_rows
    return pa.Table.from_batches([item.batch for item in items])


@pytest.mark.parametrize("rows", [64, 250, 5_000])
@pytest.mark.parametrize("group_rows", [7, 250, 400])
@pytest.mark.parametrize("columns", [("double",), ("text", "double", "flag"), ("inside", "when", "coded", "many")])
def test_values_do_not_depend_on_how_columns_are_decoded(
    tmp_path: Path, rows: int, group_rows: int, columns: tuple[str, ...]
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, row_group_size=group_rows)
    expected = TABLE.select(sorted(columns, key=TABLE.column_names.index))
    for little, page in ((1 << 30, 1), (0, 1 << 30), (1, 1 << 30)):
        with (
            patch.object(row_groups, "_NEGLIGIBLE_BYTES", little),
            patch.object(row_groups, "_PAGE_BYTES", page),
        ):
            assert read(path, rows, frozenset(columns)).equals(expected)
            part = read(path, rows, frozenset(columns), groups=(1, 3))
            assert part.equals(expected.slice(group_rows, 2 * group_rows))


def test_row_groups_of_all_sizes_come_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sizes = [0, 3, 300, 5, 0, 400, 2, 290, 0]
    with pq.ParquetWriter(path, TABLE.schema) as writer:
        for start, size in zip(np.cumsum([0, *sizes]).tolist(), sizes, strict=False):
            writer.write_table(TABLE.slice(start, size) if size else TABLE.schema.empty_table())
    # Makes large row groups decode by columns, and the small ones between them together.
    with patch.object(row_groups, "_NEGLIGIBLE_BYTES", 100 * 16), patch.object(row_groups, "_PAGE_BYTES", 1 << 30):
        assert read(path, 128, frozenset({"double", "when"})).equals(TABLE.select(["double", "when"]))


def test_a_row_group_takes_little_more_memory_than_its_columns(tmp_path: Path) -> None:
    rows, names = 100_000, [f"c{index:02d}" for index in range(30)]
    random = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    table = pa.table({name: random.normal(size=rows).round(6) for name in names})
    pq.write_table(table, path)
    pool = pa.default_memory_pool()
    columns = table.nbytes
    del table
    before = pool.bytes_allocated()
    most, read_rows = 0, 0
    with ParquetObject("a.parquet", path) as source:
        for item in source.batches(10_000, frozenset(names), use_threads=False):
            most = max(most, pool.bytes_allocated() - before)
            read_rows += item.batch.num_rows
    assert read_rows == rows
    # A page and a dictionary of every column would take at least as much again.
    assert most < 1.2 * columns


def test_large_text_columns_are_decoded_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = 5_000
    # The dictionary has one value, so that the column is stored in a few bytes.
    table = pa.table(
        {"text": ["a long text " * 100] * rows, **{f"c{index}": np.random.rand(rows) for index in range(9)}}
    )
    pq.write_table(table, path)
    with (
        patch.object(row_groups, "_NEGLIGIBLE_BYTES", 0),
        patch.object(row_groups, "_MAX_ROWS_OF_TEXT", rows - 1),
    ):
        before = pa.total_allocated_bytes()
        with ParquetObject("a.parquet", path) as source:
            item = next(iter(source.batches(100, frozenset(table.column_names), use_threads=False)))
            assert item.batch.num_rows == 100
            assert pa.total_allocated_bytes() - before < rows * 1_200


def test_a_damaged_page_is_reported_with_the_last_good_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": range(2_000), "y": range(2_000)})
    pq.write_table(
        table, path, row_group_size=1_000, compression="none", use_dictionary=False, write_page_checksum=True
    )
    content = bytearray(path.read_bytes())
    content[content.rindex((1_500).to_bytes(8, "little"))] ^= 0xFF
    path.write_bytes(content)
    with (
        patch.object(row_groups, "_NEGLIGIBLE_BYTES", 0),
        ParquetObject("a.parquet", path) as source,
        pytest.raises(DataError, match=r"object 'a\.parquet' cannot be read as Parquet after row 1,000"),
    ):
        list(source.batches(100, frozenset({"x", "y"}), use_threads=False))
