"""Hypothesis strategies for Parquet files of any schema, row groups and writer options."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import reject
from hypothesis import strategies as st

Values = st.SearchStrategy[Any]


def _moments(zone: dt.tzinfo | None) -> Values:
    # In the range of nanosecond timestamps, and in whole milliseconds, which every unit can hold.
    moments = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1))  # noqa: DTZ001 - the zone comes with the type
    return moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=zone))


def _times() -> Values:
    return st.times().map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))


LEAVES: list[tuple[pa.DataType, Values]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint8(), st.integers(0, 255)),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float16(), st.floats(width=16, allow_nan=False)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), st.text(max_size=5)),
    (pa.large_string(), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)),
    (pa.large_binary(), st.binary(max_size=5)),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.decimal128(9, 2), st.decimals(-(10**6), 10**6, places=2)),
    (pa.decimal128(30, 5), st.decimals(-(10**20), 10**20, places=5)),
    (pa.decimal256(50, 3), st.decimals(-(10**40), 10**40, places=3)),
    (pa.date32(), st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1))),
    (pa.time32("ms"), _times()),
    (pa.time64("us"), _times()),
    (pa.timestamp("ms"), _moments(None)),
    (pa.timestamp("us", tz="UTC"), _moments(dt.UTC)),
    (pa.timestamp("ns", tz="Europe/Berlin"), _moments(dt.UTC)),
    (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["a", "b", "ccc"])),
    (pa.null(), st.none()),
]

_NAMES = st.one_of(
    st.sampled_from(["id", "a.b", "ünï", "Prediction", "a b", "__index_level_0__"]),
    st.text("xyz_0", min_size=1, max_size=4),
)


@dataclass(frozen=True)
class AnyFile:
    table: pa.Table
    group_rows: list[int]
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        with pq.ParquetWriter(path, self.table.schema, **self.options) as writer:
            at = 0
            for rows in self.group_rows:
                try:
                    writer.write_table(self.table.slice(at, rows), row_group_size=max(1, rows))
                except pa.ArrowIndexError:
                    # pyarrow cannot write a null struct around a dictionary without values.
                    reject()
                at += rows
        return path


@st.composite
def _nested(draw: st.DrawFn, children: st.SearchStrategy[tuple[pa.DataType, Values]]) -> tuple[pa.DataType, Values]:
    kind, values = draw(children.filter(lambda child: not pa.types.is_null(child[0])))
    shape = draw(st.sampled_from(["list", "large_list", "struct", "map"]))
    some = st.one_of(st.none(), values)
    if shape == "struct":
        names = draw(st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=3, unique=True))
        return pa.struct([(name, kind) for name in names]), st.fixed_dictionaries(dict.fromkeys(names, some))
    if shape == "map":
        pairs = st.dictionaries(st.text("kl", max_size=2), some, max_size=3)
        return pa.map_(pa.string(), kind), pairs.map(lambda pairs: list(pairs.items()))
    make = pa.list_ if shape == "list" else pa.large_list
    return make(kind), st.lists(some, max_size=3)


def columns(*, nested: bool) -> st.SearchStrategy[tuple[pa.DataType, Values]]:
    leaves = st.sampled_from(LEAVES)
    return st.recursive(leaves, _nested, max_leaves=3) if nested else leaves


@st.composite
def any_files(draw: st.DrawFn, *, nested: bool = True) -> AnyFile:
    group_rows = draw(st.lists(st.one_of(st.just(0), st.integers(1, 25)), max_size=4))
    rows = sum(group_rows)
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique_by=str.lower))
    fields, arrays = [], []
    for name in names:
        kind, values = draw(columns(nested=nested))
        nullable = pa.types.is_null(kind) or draw(st.booleans())
        cells = st.one_of(st.none(), values) if nullable else values
        fields.append(pa.field(name, kind, nullable))
        arrays.append(pa.array(draw(st.lists(cells, min_size=rows, max_size=rows)), kind))
    metadata = draw(st.none() | st.dictionaries(st.text("km", min_size=1, max_size=3), st.text(max_size=5), max_size=3))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata))
    return AnyFile(table, group_rows, draw(_options(table.schema)))


@st.composite
def _options(draw: st.DrawFn, schema: pa.Schema) -> dict[str, Any]:
    flat = [field.name for field in schema if pa.types.is_int64(field.type) or pa.types.is_string(field.type)]
    filters = {name: {"ndv": 50, "fpp": 0.1} for name in flat if "." not in name}
    orders = [pq.SortingColumn(0)] if schema and not pa.types.is_nested(schema.field(0).type) else None
    return {
        "compression": draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "lz4", "brotli"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "version": draw(st.sampled_from(["2.6", "2.4", "1.0"])),
        "use_dictionary": draw(st.booleans()),
        "write_statistics": draw(st.booleans()),
        "write_page_index": draw(st.booleans()),
        "write_page_checksum": draw(st.booleans()),
        "store_schema": draw(st.booleans()),
        "data_page_size": draw(st.sampled_from([1, 1 << 20])),
        "write_batch_size": draw(st.sampled_from([3, 1024])),
        "bloom_filter_options": filters if filters and draw(st.booleans()) else None,
        "sorting_columns": draw(st.sampled_from([None, orders])),
    }
