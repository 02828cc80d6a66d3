"""Footers that were parsed down to their last value are written again byte for byte."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from contract.dataset.thrift_compact import (
    LIST,
    STRUCT,
    Value,
    i64,
    list_elements,
    read_struct,
    write_list,
    write_struct,
)
from tests.unit.fuzzing import examples
from tests.unit.scoring.splice.support.any_file import AnyFile, any_files
from tests.unit.scoring.splice.support.footers import footer_of
from tests.unit.scoring.splice.support.parquet_writers import WRITERS, Writer


def rewritten(data: bytes) -> bytes:
    """Parse a struct down to its last value and write it again."""
    return write_struct({field: Value(kind, _rewritten(kind, raw)) for field, (kind, raw) in read_struct(data).items()})


def _rewritten(kind: int, raw: bytes) -> bytes:
    if kind == STRUCT:
        return rewritten(raw)
    if kind == LIST:
        inner, spans, end = list_elements(raw)
        assert end == len(raw)
        return write_list(inner, [_rewritten(inner, raw[start:end]) for start, end in spans])
    return raw


@examples(quick=20, fuzz=100)
@given(any_files())
def test_footers_by_pyarrow_are_rewritten_unchanged(file: AnyFile) -> None:
    with TemporaryDirectory() as folder:
        footer = footer_of(file.write(Path(folder) / "x.parquet").read_bytes())
    assert rewritten(footer) == footer


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_footers_by_other_writers_are_rewritten_unchanged(write: Writer, tmp_path: Path) -> None:
    write(tmp_path / "x.parquet")
    footer = footer_of((tmp_path / "x.parquet").read_bytes())
    assert rewritten(footer) == footer


def test_an_unknown_field_is_kept() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}), sink)
    struct = read_struct(footer_of(sink.getvalue()))
    struct[4242] = Value(STRUCT, write_struct({7: i64(-1)}))
    assert read_struct(write_struct(struct)) == struct
