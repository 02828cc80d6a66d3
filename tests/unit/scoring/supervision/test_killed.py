"""A job killed at any moment leaves only whole files, and the next attempt continues."""

import dataclasses
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.codec import dumps
from contract.layout import OutputLayout
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.scoring.support.kills import check_kills

LARGE, SMALL = 10, 30
"""Number of objects of several row groups, and of small ones that are scored in groups."""


@pytest.fixture(scope="module")
def booster(training: pd.DataFrame) -> xgboost.Booster:
    data = xgboost.DMatrix(training[["distance", "delay"]].astype("float64"), label=training["late"])
    return xgboost.train({"max_depth": 3, "nthread": 1}, data, num_boost_round=5)


def make_job(root: Path, booster: xgboost.Booster, output_layout: OutputLayout) -> JobFolder:
    """Return a job of three models: two whose output is copied, or JSON Lines, and one with quarantine."""
    job = JobFolder(root)
    options = {"file": "model.json", "declared": "xgboost-json", "key_columns": ("flight_id",)}
    features = [Feature("distance", "double"), Feature("delay", "double")]
    strict = [features[0], Feature("delay", "double", nullable=False)]
    other = "jsonl" if output_layout == "per_model" else "parquet"
    job.add_model("copies", booster.save_model, features=features, **options)
    job.add_model("lines", booster.save_model, features=features, output_format=other, **options)
    job.add_model("some", booster.save_model, features=strict, tolerated_quarantine_fraction=0.5, **options)
    for seed in range(LARGE):
        job.add_object(f"large/{seed}.parquet", make_flights(4_000 + 1_000 * (seed % 3), seed), row_group_size=1_500)
    for seed in range(SMALL):
        job.add_object(f"small/{seed}.parquet", make_flights(100 + seed, LARGE + seed))
    spec = dataclasses.replace(job.write_spec(batch_rows=700), output_layout=output_layout)
    job.paths.spec.write_text(dumps(spec), encoding="utf-8")
    return job


@pytest.mark.kills
@pytest.mark.parametrize("output_layout", ["per_model", "joined"])
def test_kill_9_at_any_moment_leaves_only_whole_files(
    tmp_path: Path, booster: xgboost.Booster, output_layout: OutputLayout
) -> None:
    whole = make_job(tmp_path / "whole", booster, output_layout)
    reference = check_kills(whole, tmp_path)
    predictions_per_object = 3 if output_layout == "per_model" else 1
    assert len(reference) == (LARGE + SMALL) * (predictions_per_object + 1 + 3)
    for name in reference:
        if name.startswith("predictions/") and name.endswith(".parquet"):
            assert pq.ParquetFile(whole.paths.predictions.parent / name).metadata.num_rows > 0
