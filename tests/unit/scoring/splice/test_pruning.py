"""Readers skip row groups and pages of spliced files by statistics and page indexes, correctly."""

import struct
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.splice.footer.parsed_footer import ChunkField, ColumnField, read_footer
from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.any_file import LEAVES
from tests.unit.scoring.splice.support.footers import decoded
from tests.unit.scoring.splice.support.splicing import splice

ROWS = 6_000
GROUP_ROWS = 2_000
PART_ROWS = 300

# Field numbers of PageLocation, ColumnIndex and PageHeader.
_OFFSET, _BYTES, _FIRST_ROW = 1, 2, 3
_MINIMUMS, _MAXIMUMS = 2, 3
_DATA_PAGE_HEADER = 5


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Sorted pass-through columns and predictions, so that much can be skipped."""
    return pa.table(
        {
            "id": range(ROWS),
            "text": [f"{row:06}" for row in range(ROWS)],
            "score": [row / 2 for row in range(ROWS)],
            "label": [f"label {row // 500:02}" for row in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def spliced(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruning")
    pq.write_table(
        table.select(["id", "text"]),
        folder / "source.parquet",
        row_group_size=GROUP_ROWS,
        write_page_index=True,
        data_page_size=1_000,
        use_dictionary=False,
        write_batch_size=100,
        bloom_filter_options={"text": {"ndv": GROUP_ROWS, "fpp": 0.01}},
    )
    return splice(folder / "source.parquet", folder / "x.parquet", table.select(["score", "label"]), [700], PART_ROWS)


FILTERS = [
    ("id = 4321", pc.field("id") == 4321),
    ("id between 1990 and 2010", (pc.field("id") >= 1990) & (pc.field("id") <= 2010)),
    ("text = '000123'", pc.field("text") == "000123"),
    ("score = 2160.5", pc.field("score") == 2160.5),
    ("score > 2999", pc.field("score") > 2999),
    ("score < 0", pc.field("score") < 0),
    ("label = 'label 03'", pc.field("label") == "label 03"),
    ("label > 'label 10' and id < 5600", (pc.field("label") > "label 10") & (pc.field("id") < 5600)),
]


@pytest.mark.parametrize(("sql", "expression"), FILTERS, ids=[sql for sql, _ in FILTERS])
def test_filters_find_the_same_rows(sql: str, expression: pc.Expression, spliced: Path, table: pa.Table) -> None:
    expected = table.filter(expression).column("id").to_pylist()
    assert ds.dataset(spliced).to_table(filter=expression).column("id").to_pylist() == expected
    assert pq.read_table(spliced, filters=expression).column("id").to_pylist() == expected
    found = duckdb.read_parquet(str(spliced)).filter(sql).project("id").order("id").fetchall()
    assert [row[0] for row in found] == expected
    lazy = pl.scan_parquet(spliced).filter(pl.sql_expr(sql)).select("id").collect()
    assert lazy["id"].to_list() == expected


def test_row_groups_are_skipped_by_a_prediction(spliced: Path) -> None:
    fragment = next(iter(ds.dataset(spliced).get_fragments()))
    for expression, groups in (
        (pc.field("score") == 2160.5, [2]),
        (pc.field("label") == "label 03", [0]),
        (pc.field("score") < 0, []),
    ):
        kept = [group.id for part in fragment.split_by_row_group(expression) for group in part.row_groups]
        assert kept == groups


def test_bloom_filters_of_the_input_are_still_found(spliced: Path) -> None:
    metadata = pq.read_metadata(spliced)
    assert metadata.row_group(1).column(1).bloom_filter_offset is not None
    for value, skipped in (("not there", [True, True, True]), ("002500", [True, False, True])):
        query = "select * from parquet_bloom_probe(?, 'text', ?)"
        probed = duckdb.execute(query, [str(spliced), value]).fetchall()
        assert [row[-1] for row in probed] == skipped


def test_page_indexes_describe_each_page(spliced: Path, table: pa.Table) -> None:
    data = spliced.read_bytes()
    with spliced.open("rb") as file:
        footer = read_footer(file)
    for number, group in enumerate(footer.groups):
        for name, raw in zip(table.column_names, group.chunks, strict=True):
            rows = table.column(name).slice(number * GROUP_ROWS, GROUP_ROWS).to_pylist()
            chunk = decoded(raw)
            pages, index = _page_index(data, chunk)
            assert pages[0][_OFFSET] == chunk[ChunkField.METADATA][ColumnField.DATA_PAGE]
            firsts = [page[_FIRST_ROW] for page in pages]
            assert firsts[0] == 0
            assert len(firsts) > 5
            for page, first, end, least, most in zip(
                pages, firsts, [*firsts[1:], GROUP_ROWS], index[_MINIMUMS], index[_MAXIMUMS], strict=True
            ):
                header = decoded(data[page[_OFFSET] : page[_OFFSET] + page[_BYTES]])
                assert header[_DATA_PAGE_HEADER][1] == end - first
                assert (_decoded(name, least), _decoded(name, most)) == (min(rows[first:end]), max(rows[first:end]))


def _page_index(data: bytes, chunk: dict[int, Any]) -> tuple[list[dict[int, Any]], dict[int, Any]]:
    """Return the PageLocations and the ColumnIndex of a column chunk."""
    at, size = chunk[ChunkField.OFFSET_INDEX], chunk[ChunkField.OFFSET_INDEX_BYTES]
    locations = decoded(data[at : at + size])[1]
    at, size = chunk[ChunkField.COLUMN_INDEX], chunk[ChunkField.COLUMN_INDEX_BYTES]
    return locations, decoded(data[at : at + size])


def _decoded(name: str, value: bytes) -> Any:
    form = {"id": "<q", "score": "<d"}.get(name)
    return struct.unpack(form, value)[0] if form else value.decode()


@pytest.mark.parametrize(
    ("kind", "values"), LEAVES, ids=lambda value: str(value) if isinstance(value, pa.DataType) else ""
)
@examples(quick=8, fuzz=50)
@given(data=st.data())
def test_merged_statistics_equal_those_of_an_undivided_column(
    kind: pa.DataType, values: st.SearchStrategy[object], data: st.DataObject, tmp_path: Path
) -> None:
    """A column of parts of two rows each has the statistics that pyarrow gives the whole column."""
    cells = data.draw(st.lists(st.none() | values, min_size=3, max_size=9))
    column = pa.table({"p": pa.array(cells, kind)})
    pq.write_table(pa.table({"id": range(len(cells))}), tmp_path / "source.parquet")
    pq.write_table(column, tmp_path / "whole.parquet", use_dictionary=False)
    spliced = splice(tmp_path / "source.parquet", tmp_path / "spliced.parquet", column, rows_per_part=2)
    assert pq.read_table(spliced, columns=["p"]).column("p").to_pylist() == column.column("p").to_pylist()
    found = pq.read_metadata(spliced).row_group(0).column(1).statistics
    whole = pq.read_metadata(tmp_path / "whole.parquet").row_group(0).column(0).statistics
    assert (found is None) == (whole is None)
    if found is None:
        return
    assert found.null_count == whole.null_count
    # Types of unknown order have no minimum and maximum, which is always valid.
    if found.has_min_max:
        assert (found.min, found.max) == (whole.min, whole.max)
    elif whole.has_min_max:
        assert pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind) or kind == pa.float16()


def test_parts_with_only_nan_have_no_limits(tmp_path: Path) -> None:
    column = pa.table({"p": [1.0, 2.0, float("nan"), float("nan"), 3.0, float("nan")]})
    pq.write_table(pa.table({"id": range(6)}), tmp_path / "source.parquet", write_page_index=True)
    spliced = splice(tmp_path / "source.parquet", tmp_path / "x.parquet", column, rows_per_part=2)
    # The second part has no limits, so the chunk must have none, or readers would skip its values.
    assert not pq.read_metadata(spliced).row_group(0).column(1).statistics.has_min_max
    assert str(pq.read_table(spliced).column("p").to_pylist()) == str(column.column("p").to_pylist())


def test_text_too_long_for_statistics_is_not_skipped(tmp_path: Path) -> None:
    """pyarrow omits long limits; then the other parts' limits must not be used for the chunk."""
    column = pa.table({"p": ["b", "b", "z" * 10_000, "a", "c", "c"]})
    pq.write_table(pa.table({"id": range(6)}), tmp_path / "source.parquet")
    spliced = splice(tmp_path / "source.parquet", tmp_path / "x.parquet", column, rows_per_part=2)
    for value in ("a", "z" * 10_000):
        assert pq.read_table(spliced, filters=pc.field("p") == value).num_rows == 1
