"""The protocol's bytes, found and put together again."""

import contextlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.dataset.thrift_compact import LIST, STRUCT, CompactReader, ThriftError
from scoring.splice.spans import (
    Value,
    elements,
    fields,
    i64,
    integer,
    read_binary,
    read_integer,
    read_list,
    read_struct,
    write_binary,
    write_integer,
    write_list,
    write_struct,
)
from tests.unit.scoring.splice.any_file import AnyFile, any_files
from tests.unit.scoring.splice.footers import footer_of
from tests.unit.scoring.splice.writers import WRITERS, Writer


def put_together(data: bytes) -> bytes:
    """The struct of these bytes, taken apart to its last value and written again."""
    return write_struct({field: Value(kind, _again(kind, raw)) for field, (kind, raw) in read_struct(data).items()})


def _again(kind: int, raw: bytes) -> bytes:
    if kind == STRUCT:
        return put_together(raw)
    if kind == LIST:
        inner, spans, end = elements(raw)
        assert end == len(raw)
        return write_list(inner, [_again(inner, raw[start:end]) for start, end in spans])
    return raw


@given(any_files())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_footers_by_pyarrow_come_back_to_the_byte(file: AnyFile) -> None:
    with TemporaryDirectory() as folder:
        footer = footer_of(file.write(Path(folder) / "x.parquet").read_bytes())
    assert put_together(footer) == footer


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_footers_by_others_come_back_to_the_byte(write: Writer, tmp_path: Path) -> None:
    write(tmp_path / "x.parquet")
    footer = footer_of((tmp_path / "x.parquet").read_bytes())
    assert put_together(footer) == footer


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_come_back(number: int) -> None:
    raw = write_integer(number)
    assert integer(raw) == number
    # As another reader sees it.
    assert dict(CompactReader(b"\x16" + raw + b"\0").fields()) == {1: number}


@given(st.dictionaries(st.integers(-(2**15), 2**15 - 1), st.binary(max_size=200), max_size=20))
def test_structs_with_any_field_numbers_come_back(texts: dict[int, bytes]) -> None:
    data = write_struct({field: Value(8, write_binary(text)) for field, text in texts.items()})
    assert dict(CompactReader(data).fields()) == texts
    assert {field: read_binary(value) for field, value in read_struct(data).items()} == texts


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 300])
def test_lists_of_any_length_come_back(size: int) -> None:
    items = [write_integer(number) for number in range(size)]
    raw = write_list(6, items)
    assert read_list(Value(LIST, raw), 6) == items
    assert dict(CompactReader(b"\x19" + raw + b"\0").fields()) == {1: list(range(size))}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends within a struct"),
        (b"\x18\xff\x01", "beyond the end"),
        (b"\x19\xf5\xff\xff\xff\xff\x0f", "ends within|beyond"),
        (b"\x19\xf1\xff\xff\xff\xff\x0f", "beyond the end"),
        (b"\x1b\xff\xff\xff\xff\x0f\x11", "beyond the end"),
        (b"\x18" + b"\xff" * 11, "a number of more than 10 bytes"),
        (b"\x1c" * 100, "nested deeper than 32 levels"),
        (b"\x19" * 100, "nested deeper than 32 levels"),
        (b"\x1f\0", "a value of kind 15"),
        (b"\x10\0", "a value of kind 0"),
        (b"\x1c\x10\0\0", "a field without a kind"),
        (b"\x15\x02\x05\x02\x02\0", "field 1 is there twice"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ThriftError, match=why):
        read_struct(data)


def test_a_value_of_another_kind_is_refused_where_it_is_read() -> None:
    for read in (read_binary, lambda value: read_list(value, STRUCT)):
        with pytest.raises(ThriftError, match="a value of kind 6 where"):
            read(i64(1))
    with pytest.raises(ThriftError, match="a list of kind 6 where one of kind 12"):
        read_list(Value(LIST, write_list(6, [write_integer(1)])), STRUCT)
    with pytest.raises(ThriftError, match="where a whole number was expected"):
        read_integer(Value(8, write_binary(b"")))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ThriftError):
        for _, _, start, end in fields(data):
            assert 0 < start <= end <= len(data)
    with contextlib.suppress(ThriftError):
        elements(data)


def test_an_unknown_field_is_kept() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}), sink)
    struct = read_struct(footer_of(sink.getvalue()))
    struct[4242] = Value(STRUCT, write_struct({7: i64(-1)}))
    assert read_struct(write_struct(struct)) == struct
