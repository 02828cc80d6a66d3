"""Libraries that read Parquet, each with its own table type and comparison."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.testing import assert_frame_equal as assert_polars_equal


@dataclass(frozen=True)
class Reader:
    name: str
    read: Callable[[Path], Any]
    names: Callable[[Any], list[str]]
    select: Callable[[Any, list[str]], Any]
    assert_equal: Callable[[Any, Any], None]
    values: Callable[[Any, str], list[Any]]
    """Returns a column as Python values."""
    nested: bool = True

    def can_read(self, path: Path) -> bool:
        """Return whether it can read and compare a file; Polars panics on some nested types."""
        try:
            self.assert_equal(self.read(path), self.read(path))
        # A panic is a BaseException.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return False
        return True


@dataclass(frozen=True)
class _Rows:
    names: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


@functools.cache
def duckdb_connection() -> duckdb.DuckDBPyConnection:
    """Return a connection for all reads of a process, because opening one takes ten times as long as a read."""
    return duckdb.connect(config={"enable_external_file_cache": False})


def _read_duckdb(path: Path) -> _Rows:
    found = duckdb_connection().execute("select * from read_parquet(?, file_row_number = false)", [str(path)])
    names, types = zip(*((column[0], str(column[1])) for column in found.description), strict=True)
    return _Rows(list(names), list(types), found.fetchall())


def _select_rows(rows: _Rows, names: list[str]) -> _Rows:
    places = [rows.names.index(name) for name in names]
    return _Rows(names, [rows.types[place] for place in places], [tuple(row[p] for p in places) for row in rows.rows])


def _assert_same(found: Any, expected: Any) -> None:
    assert found == expected


def _assert_tables_equal(found: pa.Table, expected: pa.Table) -> None:
    assert found.schema.equals(expected.schema)
    assert found.equals(expected)


def _pandas_values(frame: pd.DataFrame, name: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in frame[name].tolist()]


READERS = [
    Reader(
        "pyarrow",
        pq.read_table,
        lambda table: table.column_names,
        lambda table, names: table.select(names),
        _assert_tables_equal,
        lambda table, name: table.column(name).to_pylist(),
    ),
    Reader(
        "duckdb",
        _read_duckdb,
        lambda rows: rows.names,
        _select_rows,
        _assert_same,
        lambda rows, name: [row[rows.names.index(name)] for row in rows.rows],
    ),
    Reader(
        "polars",
        lambda path: pl.read_parquet(path, glob=False),
        lambda frame: frame.columns,
        lambda frame, names: frame.select(names),
        lambda found, expected: assert_polars_equal(found, expected, categorical_as_str=True),
        lambda frame, name: frame[name].to_list(),
    ),
    Reader(
        "pandas",
        lambda path: pd.read_parquet(path, engine="pyarrow"),
        lambda frame: list(frame.columns),
        lambda frame, names: frame[names],
        pd.testing.assert_frame_equal,
        _pandas_values,
    ),
    Reader(
        "fastparquet",
        lambda path: fastparquet.ParquetFile(str(path)).to_pandas(),
        lambda frame: list(frame.columns),
        lambda frame, names: frame[names],
        pd.testing.assert_frame_equal,
        _pandas_values,
        # It flattens structs, and crashes the process on some files with lists (2026.9, in
        # _assemble_objects).
        nested=False,
    ),
]
