"""The fast path for usual column chunks gives the same result as the parser, whatever the bytes."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dataset.thrift_compact import ThriftError, end_of_struct
from scoring.splice.footer import column_chunks
from scoring.splice.footer.chunk_pattern import USUAL_CHUNK
from scoring.splice.footer.column_chunks import ChunkPart, OutputChunk
from scoring.splice.footer.parsed_footer import read_footer
from scoring.splice.refusal import chunk_problem, parsed_chunk_problem
from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.any_file import AnyFile, any_files
from tests.unit.scoring.splice.support.parquet_writers import WRITERS, Writer


def chunks_of(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each encoded ColumnChunk with the offset of the footer."""
    with path.open("rb") as file:
        footer = read_footer(file)
    for group in footer.groups:
        for raw in group.chunks:
            yield raw, footer.start


def assert_same_as_parser(raw: bytes, end: int) -> None:
    usual = USUAL_CHUNK.match(raw)
    if usual is None:
        return
    assert usual.end() == end_of_struct(raw, 0)
    chunk = raw[: usual.end()]
    assert chunk_problem(chunk, end) == parsed_chunk_problem(chunk, end)


@pytest.mark.parametrize("page_index", [False, True])
def test_chunks_by_pyarrow_take_the_fast_path(page_index: bool, tmp_path: Path) -> None:
    """Otherwise footers are only read more slowly, which no other test would notice."""
    table = pa.table({"id": range(100), "text": ["t"] * 100, "x": [1.5] * 99 + [None], "flag": [True] * 100})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=30, write_page_index=page_index)
    chunks = list(chunks_of(tmp_path / "x.parquet"))
    assert len(chunks) == 16
    for raw, end in chunks:
        assert USUAL_CHUNK.fullmatch(raw)
        assert_same_as_parser(raw, end)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_chunks_by_other_writers_give_the_same_result(write: Writer, tmp_path: Path) -> None:
    write(tmp_path / "x.parquet")
    for raw, end in chunks_of(tmp_path / "x.parquet"):
        assert_same_as_parser(raw, end)


@examples(quick=30, fuzz=400)
@given(any_files(), st.data())
def test_damaged_chunks_give_the_same_result(file: AnyFile, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        chunks = list(chunks_of(file.write(Path(folder) / "x.parquet")))
    if not chunks:
        return
    raw, end = data.draw(st.sampled_from(chunks))
    assert_same_as_parser(raw, end)
    at = data.draw(st.integers(0, len(raw) - 1))
    new = data.draw(st.binary(max_size=4))
    damaged = raw[:at] + new + raw[at + data.draw(st.integers(0, 3)) :]
    try:
        assert_same_as_parser(damaged, data.draw(st.sampled_from([end, 4, 100])))
    except (ThriftError, IndexError) as error:
        raise AssertionError(f"the parser refuses what matches the pattern: {damaged!r}") from error


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.timestamp("us", "UTC")])
def test_moved_chunks_are_the_same_as_parsed_and_encoded_ones(
    kind: pa.DataType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = pa.array([None, *range(200)], pa.int64()).cast(kind if kind != pa.bool_() else pa.int64())
    pq.write_table(pa.table({"x": values.cast(kind)}), tmp_path / "x.parquet", use_dictionary=False)
    [(raw, _)] = chunks_of(tmp_path / "x.parquet")
    part = ChunkPart.parse(raw, 201)
    assert (part.start, part.size > 0, part.uncompressed > 0) == (4, True, True)
    moved = [OutputChunk((part,), start).encode(None, {}) for start in (4, 1_000_000)]
    assert moved[0] != moved[1]
    monkeypatch.setattr(column_chunks, "USUAL_CHUNK", re.compile(b"nothing"))
    assert ChunkPart.parse(raw, 201) == part
    assert [OutputChunk((part,), start).encode(None, {}) for start in (4, 1_000_000)] == moved
