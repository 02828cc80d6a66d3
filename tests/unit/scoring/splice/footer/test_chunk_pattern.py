"""The short cut through a footer sees what the walk sees, whatever the bytes are."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.dataset.thrift_compact import ThriftError
from scoring.splice import refusal
from scoring.splice.footer.chunk_pattern import USUAL_CHUNK
from scoring.splice.footer.parsed_footer import read_footer
from scoring.splice.spans import end_of_struct
from tests.unit.scoring.splice.any_file import AnyFile, any_files
from tests.unit.scoring.splice.writers import WRITERS, Writer

NEVER = re.compile(rb"(?!)")


def chunks_of(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each ColumnChunk, and where the footer begins."""
    with path.open("rb") as file:
        footer = read_footer(file)
    for group in footer.groups:
        for raw in group.chunks:
            yield raw, footer.start


def hold_against_the_walk(raw: bytes, end: int) -> None:
    usual = USUAL_CHUNK.match(raw)
    if usual is None:
        return
    assert usual.end() == end_of_struct(raw, 0)
    chunk = raw[: usual.end()]
    with patch.object(refusal, "USUAL_CHUNK", NEVER):
        walked = refusal._chunk(chunk, end)
    assert refusal._chunk(chunk, end) == walked


@pytest.mark.parametrize("page_index", [False, True])
def test_what_pyarrow_writes_is_usual(page_index: bool, tmp_path: Path) -> None:
    """Else it would only be slow, which nobody would notice here."""
    table = pa.table({"id": range(100), "text": ["t"] * 100, "x": [1.5] * 99 + [None], "flag": [True] * 100})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=30, write_page_index=page_index)
    chunks = list(chunks_of(tmp_path / "x.parquet"))
    assert len(chunks) == 16
    for raw, end in chunks:
        assert USUAL_CHUNK.fullmatch(raw)
        hold_against_the_walk(raw, end)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_what_others_write_is_seen_alike(write: Writer, tmp_path: Path) -> None:
    write(tmp_path / "x.parquet")
    for raw, end in chunks_of(tmp_path / "x.parquet"):
        hold_against_the_walk(raw, end)


@given(any_files(), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_chunks_are_seen_alike(file: AnyFile, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        chunks = list(chunks_of(file.write(Path(folder) / "x.parquet")))
    if not chunks:
        return
    raw, end = data.draw(st.sampled_from(chunks))
    hold_against_the_walk(raw, end)
    at = data.draw(st.integers(0, len(raw) - 1))
    new = data.draw(st.binary(max_size=4))
    damaged = raw[:at] + new + raw[at + data.draw(st.integers(0, 3)) :]
    try:
        hold_against_the_walk(damaged, data.draw(st.sampled_from([end, 4, 100])))
    except (ThriftError, IndexError) as error:
        raise AssertionError(f"the walk refuses what is taken for usual: {damaged!r}") from error
