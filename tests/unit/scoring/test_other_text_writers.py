"""CSV and JSON Lines as other libraries write them by default."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from contract.catalog.model_fields import Feature
from scoring.columns.features import FeatureBatch
from tests.unit.scoring.support.in_process import model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

ROWS = pa.table(
    {
        "id": pa.array([2**63 - 1, -(2**63), 0], pa.int64()),
        "x": pa.array([0.1, -1e300, None], pa.float64()),
        "flag": pa.array([True, False, None]),
        "text": pa.array(["NA", 'a "b",\nc', None]),
        "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        "when": pa.array([dt.datetime.fromisoformat("2026-02-03T04:05:06.000007"), None, None], pa.timestamp("us")),
    }
)


def _by_duckdb(options: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with duckdb.connect() as connection:
            connection.register("rows", ROWS)
            connection.execute(f"copy rows to '{path}' ({options})")

    return write


WRITERS: dict[str, Callable[[Path], object]] = {
    "pandas.csv": lambda path: ROWS.to_pandas(types_mapper=pd.ArrowDtype).to_csv(path, index=False),
    "polars.csv": lambda path: pl.DataFrame(pl.from_arrow(ROWS)).write_csv(path),
    "duckdb.csv": _by_duckdb("format csv, header"),
    "arrow.csv": lambda path: csv.write_csv(ROWS, path),
    "pandas.jsonl": lambda path: ROWS.to_pandas(types_mapper=pd.ArrowDtype).to_json(
        path, orient="records", lines=True, date_format="iso", date_unit="us", double_precision=15
    ),
    "polars.jsonl": lambda path: pl.DataFrame(pl.from_arrow(ROWS)).write_ndjson(path),
    "duckdb.jsonl": _by_duckdb("format json"),
}


class _Rows:
    """Predicts the text of each row's features as the model gets them."""

    concurrent = True
    notes: tuple[str, ...] = ()
    native = None
    outputs = (pa.field("seen", pa.string()),)

    def predict(self, batch: FeatureBatch) -> Any:
        return np.array(_texts(batch.arrays), dtype=object)


def _texts(arrays: Any) -> list[str]:
    return [repr(row) for row in zip(*(array.to_pylist() for array in arrays), strict=True)]


@pytest.mark.parametrize("name", WRITERS)
def test_a_model_gets_what_the_writer_wrote(job: JobFolder, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    job.add_object(name, (tmp_path / name).read_bytes())
    features = [Feature(column, str(kind)) for column, kind in zip(ROWS.column_names, ROWS.schema.types, strict=True)]
    spec = model_spec(*features)
    [done] = score_in_process(job, {spec: _Rows()})
    assert done.failures == ()
    output = job.paths.predictions / job.commit("code", name).outputs[0].key
    assert pq.read_table(output)["seen"].to_pylist() == _texts(ROWS.columns)
