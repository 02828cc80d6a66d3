"""Every library reads the input's columns as before, and the predictions after them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.any_file import LEAVES, AnyFile, any_files
from tests.unit.scoring.splice.support.parquet_readers import READERS, Reader
from tests.unit.scoring.splice.support.parquet_writers import ROWS, WRITERS, Writer
from tests.unit.scoring.splice.support.splicing import PREDICTIONS, predictions, refusal, splice

_BATCH_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)
# Always the same files, so that a library's bugs do not fail builds at random.
_read_by_libraries = examples(quick=15, fuzz=100, derandomize=True)


def assert_reads_both(reader: Reader, source: Path, spliced: Path, expected: pa.Table) -> None:
    before, after = reader.read(source), reader.read(spliced)
    names = reader.names(before)
    assert reader.names(after) == [*names, *expected.column_names]
    reader.assert_equal(reader.select(after, names), before)
    for name in expected.column_names:
        assert reader.values(after, name) == expected.column(name).to_pylist(), (reader.name, name)


@_read_by_libraries
@given(any_files(), _BATCH_SIZES, st.integers(1, 30))
def test_every_library_reads_columns_and_predictions(file: AnyFile, batch_sizes: list[int], rows_per_part: int) -> None:
    _splice_and_check(file, batch_sizes, rows_per_part, [reader for reader in READERS if reader.nested])


@_read_by_libraries
@given(any_files(nested=False), _BATCH_SIZES, st.integers(1, 30))
def test_every_library_reads_flat_columns_and_predictions(
    file: AnyFile, batch_sizes: list[int], rows_per_part: int
) -> None:
    _splice_and_check(file, batch_sizes, rows_per_part, [reader for reader in READERS if not reader.nested])


def _splice_and_check(file: AnyFile, batch_sizes: list[int], rows_per_part: int, readers: list[Reader]) -> None:
    with TemporaryDirectory() as folder:
        source = file.write(Path(folder) / "source.parquet")
        assert refusal(source, PREDICTIONS) is None
        expected = predictions(file.table.num_rows)
        spliced = splice(source, Path(folder) / "spliced.parquet", expected, batch_sizes, rows_per_part)
        _check_footer(pq.read_metadata(source), pq.read_metadata(spliced))
        for reader in readers:
            if reader.can_read(source):
                assert_reads_both(reader, source, spliced, expected)


def _check_footer(before: pq.FileMetaData, after: pq.FileMetaData) -> None:
    """Check that the footer describes the input's columns as before."""
    assert (after.num_rows, after.num_row_groups) == (before.num_rows, before.num_row_groups)
    assert (after.created_by, after.format_version) == (before.created_by, before.format_version)
    for number in range(before.num_row_groups):
        old, new = before.row_group(number), after.row_group(number)
        assert new.num_rows == old.num_rows
        assert new.sorting_columns == old.sorting_columns
        assert new.total_byte_size == old.total_byte_size + sum(
            new.column(place).total_uncompressed_size for place in range(old.num_columns, new.num_columns)
        )
        for place in range(old.num_columns):
            assert new.column(place).to_dict() == old.column(place).to_dict()


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_plain_files_are_read_by_every_library(reader: Reader, tmp_path: Path) -> None:
    """Check that `can_read` does not exclude a library from the property tests."""
    table = pa.table({"id": range(50), "text": [f"t{i}" for i in range(50)], "flag": [i % 2 == 0 for i in range(50)]})
    source = AnyFile(table, [20, 20, 10], {"write_page_index": True}).write(tmp_path / "source.parquet")
    spliced = splice(source, tmp_path / "spliced.parquet", predictions(50), [7], 6)
    assert_reads_both(reader, source, spliced, predictions(50))


@pytest.mark.parametrize(
    ("kind", "values"), LEAVES, ids=lambda value: str(value) if isinstance(value, pa.DataType) else ""
)
@examples(quick=5, fuzz=30)
@given(data=st.data())
def test_arrow_reads_every_type(
    kind: pa.DataType, values: st.SearchStrategy[object], data: st.DataObject, tmp_path: Path
) -> None:
    cells = data.draw(st.lists(st.none() | values, min_size=3, max_size=9))
    table = pa.table({"x": pa.array(cells, kind)})
    pq.write_table(table, tmp_path / "source.parquet", row_group_size=2, write_page_index=True)
    spliced = splice(tmp_path / "source.parquet", tmp_path / "spliced.parquet", predictions(len(cells)))
    assert pq.read_table(spliced).select(["x"]).equals(pq.read_table(tmp_path / "source.parquet"))


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_files_by_other_writers_are_read_by_every_library(write: Writer, tmp_path: Path) -> None:
    source = tmp_path / "source.parquet"
    write(source)
    assert refusal(source, PREDICTIONS) is None
    spliced = splice(source, tmp_path / "spliced.parquet", predictions(ROWS), [999], 600)
    for reader in READERS:
        if reader.nested or "list" not in pq.read_schema(source).names:
            assert reader.can_read(source)
            assert_reads_both(reader, source, spliced, predictions(ROWS))


def test_files_without_columns_or_row_groups_are_spliced(tmp_path: Path) -> None:
    for number, table in enumerate((pa.table({}), pa.table({"x": pa.array([], pa.int64())}))):
        source = tmp_path / f"source{number}.parquet"
        with pq.ParquetWriter(source, table.schema):
            pass
        found = pq.read_table(splice(source, tmp_path / "spliced.parquet", predictions(0)))
        assert found.schema.equals(pa.schema([*table.schema, *PREDICTIONS]))
        assert found.num_rows == 0
