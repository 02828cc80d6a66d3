"""The first rows that `models test` shows."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cli.sample_scoring.sample import preview
from contract.catalog.model_fields import Feature
from tests.unit.lambdas.builders import any_model_spec


def test_times_beyond_the_range_of_nanoseconds_are_shown_as_they_are(tmp_path: Path) -> None:
    rows = pa.table({"x": [1.0], "until": pa.array([datetime(9999, 12, 31)], pa.timestamp("us"))})  # noqa: DTZ001
    pq.write_table(rows, tmp_path / "sample.parquet", use_deprecated_int96_timestamps=True)
    scored = rows.append_column("prediction", pa.array([0.5]))
    pq.write_table(scored, tmp_path / "scored.parquet", use_deprecated_int96_timestamps=True)
    spec = any_model_spec("m", features=(Feature("x", "double"),))
    shown = preview(tmp_path / "scored.parquet", tmp_path / "sample.parquet", spec, 5)
    assert shown.first == ((1.0, "9999-12-31 00:00:00", 0.5),)
