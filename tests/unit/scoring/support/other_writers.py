"""Parquet files as other libraries write them, with each library's types, codecs and encodings."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

FileWriter = Callable[[Path], object]

_DUCKDB_COLUMNS = """
select i::int as id, case i when 1 then 'nan'::double when 2 then 'inf'::double else i * 1.5::double end as x,
    (i + 1)::hugeint as huge, 18446744073709551615::ubigint as u64, 1::utinyint as u8, uuid() as uuid,
    '12:34:56.789'::time as time, '12:34:56+02'::timetz as timetz, '101'::bit as bit, '\\x00\\xFF'::blob as blob,
    date '9999-12-31' as last_day, date '0001-01-01' as first_day, timestamptz '2020-01-01 00:00:00+02' as instant,
    timestamp_ns '2020-01-01 00:00:00.123456789' as nanoseconds, timestamp_ms '9999-12-31 00:00:00' as milliseconds,
    1.10::decimal(5, 2) as price, -0.1::decimal(38, 10) as precise, 'a'::enum('a', 'b') as enum, null::text as nothing,
    i = 1 as flag, '{"a": "b,c"}'::json as json, case i when 0 then '' when 1 then null else 'a"\n,' end as text
"""
_DUCKDB_NESTED = "[i, null] as list, [1, 2]::int[2] as pair, {'a': i, 'b': 'x'} as struct, map {'k': i} as map"


def _by_duckdb(options: str, columns: str = _DUCKDB_COLUMNS) -> FileWriter:
    query = f"{columns} from range(5) t(i)"
    return lambda path: duckdb.sql(f"copy ({query}) to '{path}' (format parquet, {options})")


def _polars_frame() -> pl.DataFrame:
    nothing = [None] * 3
    return pl.DataFrame(
        {
            "id": [1, 2, 3],
            "x": [1.5, float("nan"), None],
            "text": ["", "a\n,", None],
            "category": pl.Series(["a", "b", None], dtype=pl.Categorical),
            "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"])),
            "day": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
            "time": [dt.time(1, 2, 3, 4), None, dt.time(0)],
            "duration": [dt.timedelta(days=-1, microseconds=1), None, dt.timedelta(0)],
            "zoned": pl.Series(nothing, dtype=pl.Datetime("us", "Europe/Berlin")),
            "nanoseconds": pl.Series([1, -(2**62), None], dtype=pl.Int64).cast(pl.Datetime("ns")),
            "price": pl.Series([Decimal("1.10"), None, Decimal("-0.05")], dtype=pl.Decimal(10, 2)),
            "bytes": [b"", b"\xff", None],
            "nothing": nothing,
            "flag": [True, None, False],
            "u64": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
            "float16": pl.Series([0.1, None, -0.0]).cast(pl.Float16),
        }
    )


def _nested_polars_frame() -> pl.DataFrame:
    return _polars_frame().with_columns(
        pl.Series("list", [[1, None], [], None]),
        pl.Series("pair", [[1, 2], [3, 4], None], dtype=pl.Array(pl.Int64, 2)),
        pl.Series("struct", [{"a": 1}, {"a": None}, None]),
    )


def _pandas_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [1, 2, 3],
            "x": [1.5, np.nan, -0.0],
            "text": ["", "a", None],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "category": pd.Categorical(["a", None, "b"]),
            "numbers": pd.Categorical([3, 1, 3]),
            "when": pd.to_datetime(["2020-01-01", None, "1700-01-01"]),
            "zoned": pd.to_datetime(["2020-01-01"] * 3).tz_localize("America/New_York"),
            "bytes": [b"\xff", None, b""],
        }
    )


def _pandas_objects() -> pd.DataFrame:
    return _pandas_frame().assign(
        day=[dt.date(1, 1, 1), None, dt.date(9999, 12, 31)],
        price=[Decimal("1.10"), None, Decimal(2)],
        duration=pd.to_timedelta([1, None, 3], unit="D"),
        month=pd.period_range("2020-01", periods=3, freq="M"),
    )


_NAMES = pd.DataFrame(
    {"id": [1], "0": [1.0], "a.b": [2], "Ünï cödé": ["x"], "A": [1], "a": [2], " ": [3], 'x,y"': [4], "new\nline": [5]}
)
_TEXTS = [None if i % 9 == 0 else f"v{i}" for i in range(14)]
_NUMBERS = pa.table(
    {
        "id": range(14),
        "x": [i / 7 for i in range(14)],
        "text": _TEXTS,
    }
)


def _encoded(version: str, **encodings: str) -> FileWriter:
    return lambda path: pq.write_table(
        _NUMBERS,
        path,
        use_dictionary=False,
        column_encoding=encodings,
        data_page_version=version,
        write_page_index=True,
        bloom_filter_options={"id": {"ndv": 14}},
        compression="zstd",
        row_group_size=5,
    )


def _with_empty_groups(path: Path) -> None:
    with pq.ParquetWriter(path, _NUMBERS.schema) as writer:
        for part in (_NUMBERS[:0], _NUMBERS[:3], _NUMBERS[:0], _NUMBERS[3:]):
            writer.write_table(part)


FLAT: dict[str, FileWriter] = {
    "duckdb snappy": _by_duckdb("compression snappy"),
    "duckdb V2 zstd": _by_duckdb("compression zstd, parquet_version V2"),
    "polars": lambda path: _polars_frame().write_parquet(path, row_group_size=2),
    "polars full statistics": lambda path: _polars_frame().write_parquet(path, statistics="full", compression="lz4"),
    "polars empty": lambda path: _polars_frame().head(0).write_parquet(path),
    "pandas": lambda path: _pandas_objects().to_parquet(path),
    "pandas index": lambda path: _pandas_frame().set_index(["text", "when"]).to_parquet(path),
    "pandas names": _NAMES.to_parquet,
    "fastparquet": lambda path: fastparquet.write(str(path), _pandas_frame(), compression="BROTLI", stats=True),
    "fastparquet INT96": lambda path: fastparquet.write(str(path), _pandas_frame(), times="int96"),
    "pyarrow delta": _encoded("2.0", id="DELTA_BINARY_PACKED", x="BYTE_STREAM_SPLIT", text="DELTA_BYTE_ARRAY"),
    "pyarrow lengths": _encoded("1.0", id="BYTE_STREAM_SPLIT", x="PLAIN", text="DELTA_LENGTH_BYTE_ARRAY"),
    "pyarrow empty groups": _with_empty_groups,
}
"""Writers of files with a column `id` of integers and no nested columns."""

NESTED: dict[str, FileWriter] = {
    "duckdb nested": _by_duckdb("compression zstd", f"{_DUCKDB_COLUMNS}, {_DUCKDB_NESTED}"),
    "polars nested": lambda path: _nested_polars_frame().write_parquet(path),
}
