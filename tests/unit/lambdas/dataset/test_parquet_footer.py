"""The functions' own reader of Parquet schemas, compared with pyarrow."""

import io
import itertools
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dataset.columns import is_readable_as
from contract.dataset.feature_types import ARROW_TYPES
from lambdas.dataset.parquet_footer import Column, FooterError, parse_columns, read_columns
from scoring.columns.column_plan import is_readable
from tests.unit.fuzzing import examples

DECLARED = [
    *sorted(ARROW_TYPES),
    *("date32[day]", "timestamp[s]", "timestamp[ns]", "timestamp[us, tz=UTC]", "timestamp[ms, tz=Europe/Berlin]"),
    *("list<float>[3]", "list<double>[2]"),
]
"""Types of features, one or more of each kind."""
FLAT: list[pa.DataType] = [
    *(pa.float64() if name == "double" else pa.type_for_alias(name) for name in sorted(ARROW_TYPES)),
    pa.null(),
    pa.float16(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(4),
    pa.date32(),
    pa.date64(),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit, zone) for unit, zone in itertools.product(("s", "ms", "us", "ns"), (None, "UTC"))),
    pa.decimal32(5, 2),
    pa.decimal64(12, 2),
    pa.decimal128(5, 2),
    pa.decimal128(18, 0),
    pa.decimal256(60, 3),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.int64()),
    pa.dictionary(pa.int16(), pa.float64()),
]
NOT_IN_PARQUET = [pa.duration("s"), pa.duration("ns"), pa.json_(pa.string()), pa.uuid(), pa.bool8()]
"""Types that the Parquet schema does not determine."""


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    members = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda value: pa.list_(value, 3)),
        inner.map(lambda value: pa.map_(pa.string(), value)),
        members.map(lambda kinds: pa.struct([pa.field(f"m{i}", kind) for i, kind in enumerate(kinds)])),
    )


plain = st.sampled_from([kind for kind in FLAT if not pa.types.is_dictionary(kind)])
types = st.one_of(st.sampled_from(FLAT), st.recursive(plain, nested, max_leaves=6))
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@st.composite
def schemas(draw: st.DrawFn) -> pa.Schema:
    chosen = draw(st.lists(names, unique=True, max_size=8))
    fields = []
    for name in chosen:
        kind = draw(types)
        nullable = pa.types.is_null(kind) or draw(st.booleans())
        fields.append(pa.field(name, kind, nullable))
    return pa.schema(fields)


def write(schema: pa.Schema, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink, **options)
    return sink.getvalue()


def columns_of(content: bytes) -> tuple[Column, ...]:
    return read_columns(lambda start, end: content[start:end], len(content))


def footer_of(content: bytes) -> bytes:
    return content[-8 - int.from_bytes(content[-8:-4], "little") : -8]


@examples(quick=50, fuzz=300)
@given(schemas(), st.sampled_from(["1.0", "2.4", "2.6"]), st.booleans())
def test_plan_and_container_agree_on_which_declared_types_are_safe(
    schema: pa.Schema, version: str, store_schema: bool
) -> None:
    content = write(schema, version=version, store_schema=store_schema)
    found = columns_of(content)
    read = pq.ParquetFile(io.BytesIO(content)).schema_arrow
    assert [column.name for column in found] == read.names
    for column, field in zip(found, read, strict=True):
        assert column.type is not None
        for declared in DECLARED:
            assert is_readable_as(declared, column.type) == is_readable(field.type, declared), (
                column,
                field,
                declared,
            )


@pytest.mark.parametrize("kind", FLAT, ids=str)
def test_types_that_features_can_have_get_pyarrows_names(kind: pa.DataType) -> None:
    content = write(pa.schema([pa.field("x", kind)]))
    read = pq.ParquetFile(io.BytesIO(content)).schema_arrow.field("x").type
    read = read.value_type if pa.types.is_dictionary(read) else read
    [column] = columns_of(content)
    if str(read) in ARROW_TYPES or str(read) in ("null", "halffloat", "date32[day]"):
        assert column.type == str(read)
    else:
        assert column.type not in ARROW_TYPES - {"string"}


@pytest.mark.parametrize("kind", NOT_IN_PARQUET, ids=str)
def test_a_type_unknown_to_the_schema_fits_every_declared_type(kind: pa.DataType) -> None:
    content = write(pa.schema([pa.field("x", kind)]))
    read = pq.ParquetFile(io.BytesIO(content)).schema_arrow.field("x").type
    [column] = columns_of(content)
    for declared in DECLARED:
        assert column.type is None or is_readable_as(declared, column.type) or not is_readable(read, declared)


def test_old_writers_types_are_read_from_converted_types() -> None:
    # SchemaElements of writers from before logical types: name, optional, and a converted type.
    def element(name: str, physical: int, converted: int) -> bytes:
        text = name.encode()
        return bytes([0x15, physical * 2, 0x25, 0x02, 0x18, len(text)]) + text + bytes([0x25, converted * 2, 0x00])

    columns = [("s", 6, 0), ("u", 1, 12), ("i", 1, 15), ("d", 1, 6), ("e", 6, 4), ("j", 6, 19)]
    root = bytes([0x48, 4]) + b"root" + bytes([0x15, len(columns) * 2, 0x00])
    elements = [root, *(element(*column) for column in columns)]
    footer = bytes([0x15, 0x02, 0x19, len(elements) << 4 | 0x0C]) + b"".join(elements) + b"\x00"
    kinds = {column.name: column.type for column in parse_columns(footer)}
    assert kinds == {"s": "string", "u": "uint16", "i": "int8", "d": "date32[day]", "e": None, "j": None}


def test_a_footer_larger_than_the_first_read_is_read_from_its_start() -> None:
    schema = pa.schema([pa.field(f"column {number:05}", pa.float32()) for number in range(3_000)])
    content = write(schema)
    reads: list[tuple[int, int]] = []

    def read(start: int, end: int) -> bytes:
        reads.append((start, end))
        return content[start:end]

    assert [column.name for column in read_columns(read, len(content))] == schema.names
    assert len(reads) == 2
    assert reads[0] == (len(content) - 65_536, len(content))


def test_bytes_after_the_schema_may_be_missing() -> None:
    footer = footer_of(write(pa.schema([("a", pa.int8()), ("b", pa.string())])))
    whole = parse_columns(footer)
    assert parse_columns(footer[: len(footer) // 2]) == whole == (Column("a", "int8"), Column("b", "string"))


WHOLE = write(pa.schema([("a", pa.int8()), ("b", pa.list_(pa.struct([("c", pa.string())])))]))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "too few"),
        (b"PAR1PAR1", "too few"),
        (WHOLE[: len(WHOLE) // 2], "not a Parquet file"),
        (WHOLE[:-4] + b"PARE", "an encrypted footer"),
        (WHOLE[:-8] + b"\xff\xff\xff\xff" + b"PAR1", "a footer of 4,294,967,295 bytes in an object of"),
        (WHOLE[:-8] + b"\x00\x00\x00\x00" + b"PAR1", "a footer that cannot be read"),
        (b"PAR1" + b"\x00" * 20 + b"\x01\x00\x00\x00PAR1", "a footer without a schema"),
    ],
)
def test_incomplete_or_other_objects_are_refused(content: bytes, why: str) -> None:
    with pytest.raises(FooterError, match=why):
        columns_of(content)


def test_a_schema_of_too_many_columns_is_refused() -> None:
    footer = b"\x15\x02\x19\xfc" + bytes([0xC0, 0x9A, 0x0C]) + bytes(200_000)
    with pytest.raises(FooterError, match="more than 100,000 values"):
        parse_columns(footer)


def test_an_unavailable_object_is_refused() -> None:
    with pytest.raises(FooterError, match="not available"):
        read_columns(lambda _start, _end: None, 100)
    with pytest.raises(FooterError, match="5 bytes instead of the 100 requested"):
        read_columns(lambda _start, _end: b"short", 100)


@examples(quick=100, fuzz=2_000)
@given(st.data())
def test_damaged_footers_are_read_or_refused(data: st.DataObject) -> None:
    footer = bytearray(footer_of(WHOLE))
    for _ in range(data.draw(st.integers(1, 4))):
        footer[data.draw(st.integers(0, len(footer) - 1))] = data.draw(st.integers(0, 255))
    try:
        columns = parse_columns(bytes(footer[: data.draw(st.integers(0, len(footer)))]))
    except FooterError:
        return
    assert all(isinstance(column.name, str) for column in columns)
