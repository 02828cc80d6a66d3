from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from scoring.readers import open_object
from scoring.worker.batch_size import rows_per_batch


@pytest.mark.parametrize(
    ("columns", "most", "least"),
    [(1, 65_536, 65_536), (30, 18_000, 15_000), (1_000, 600, 480), (10_000, 256, 256)],
)
def test_wide_rows_make_smaller_batches(tmp_path: Path, columns: int, most: int, least: int) -> None:
    names = [f"c{index}" for index in range(columns)]
    pq.write_table(pa.table({name: pa.array([1.0, 2.0] * 250) for name in names}), tmp_path / "a.parquet")
    features = [Feature(name, "double") for name in names]
    with open_object("a.parquet", tmp_path / "a.parquet") as source:
        default = rows_per_batch(65_536, source, frozenset(names), features)
        assert least <= default <= most
        doubled = rows_per_batch(65_536, source, frozenset(names), features, factor=2)
        assert doubled == default if default in (256, 65_536) else doubled in (2 * default, 2 * default + 32)
