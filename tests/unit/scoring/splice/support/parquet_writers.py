"""Writes Parquet files with other libraries."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import fastparquet
import polars as pl

Writer = Callable[[Path], None]
ROWS = 5_000


def by_duckdb(path: Path) -> None:
    query = "select i as id, i::varchar as text, [i, i + 1] as list, i::decimal(20, 3) as price from range(5000) t(i)"
    duckdb.sql(query).write_parquet(str(path), row_group_size=2048)


def by_polars(path: Path) -> None:
    frame = pl.DataFrame(
        {"id": range(ROWS), "text": [f"t{i}" for i in range(ROWS)], "list": [[i] for i in range(ROWS)]}
    )
    frame.write_parquet(path, statistics="full", row_group_size=2000)


def by_fastparquet(path: Path) -> None:
    frame = pl.DataFrame({"id": range(ROWS), "text": [f"t{i}" for i in range(ROWS)]}).to_pandas()
    fastparquet.write(str(path), frame, row_group_offsets=[0, 2000], stats=True)


WRITERS = [by_duckdb, by_polars, by_fastparquet]
