"""Small trained models, and a sample for them."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

from tests.unit.cli.builders import make_archive

ROWS = 60


def people() -> pd.DataFrame:
    """Training data without nulls."""
    random = np.random.default_rng(3)
    return pd.DataFrame({"visits": random.integers(0, 9, ROWS).astype("int32"), "age": random.normal(40, 9, ROWS)})


def sample_table() -> pa.Table:
    """A sample: a key, the features in another order, one of them required, and an unknown column
    with a null.
    """
    frame = people()
    schema = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("age", pa.float64()),
            pa.field("note", pa.string()),
            pa.field("visits", pa.int32(), nullable=False),
        ]
    )
    columns = [range(ROWS), frame["age"], [None, *["x"] * (ROWS - 1)], frame["visits"]]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def write_sample(path: Path, table: pa.Table | None = None) -> Path:
    pq.write_table(sample_table() if table is None else table, path)
    return path


def classifier(*, named: bool = True) -> Any:
    frame = people()
    return LogisticRegression().fit(frame if named else frame.to_numpy(), frame["age"] > 40)


def sklearn_archive(folder: Path, model: Any = None) -> Path:
    """Write model.tar.gz with `model.joblib`."""
    joblib.dump(classifier() if model is None else model, folder / "model.joblib")
    return make_archive(folder / "model.tar.gz", {"model.joblib": (folder / "model.joblib").read_bytes()})
