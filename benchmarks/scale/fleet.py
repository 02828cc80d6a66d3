"""Small models with artifacts of their own, and objects to score."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

FEATURES = ("recency", "visits", "spend", "age")
DATASET = "customers"
_TREES, _DEPTH = 10, 3


def write_models(folder: Path, count: int) -> Path:
    """Write an artifact per model, and the file of models for `fleetscore models register --bulk`. Return the file."""
    random = np.random.default_rng(1)
    values, labels = random.random((500, len(FEATURES))), random.integers(0, 2, 500)
    data = xgboost.DMatrix(values, labels, feature_names=list(FEATURES))
    booster = xgboost.train({"max_depth": _DEPTH, "objective": "binary:logistic"}, data, _TREES)
    bulk = folder / "models.jsonl"
    with bulk.open("w", encoding="utf-8") as lines:
        for number in range(count):
            name = f"model-{number:05d}"
            booster.set_attr(name=name)  # no two artifacts are alike
            content = bytes(booster.save_raw("ubj"))
            with tarfile.open(folder / f"{name}.tar.gz", "w:gz", compresslevel=1) as archive:
                member = tarfile.TarInfo("model.ubj")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            document = {
                "model_id": name,
                "artifact": f"{name}.tar.gz",
                "dataset": DATASET,
                "format": "xgboost-ubj",
                "model_file": "model.ubj",
                "method": "predict",
                "features": [{"name": feature, "type": "double"} for feature in FEATURES],
                "key_columns": ["row"],
            }
            lines.write(json.dumps(document) + "\n")
    return bulk


def rows(count: int, first: int = 0) -> bytes:
    """Return a Parquet file."""
    random = np.random.default_rng(first)
    columns = {"row": np.arange(first, first + count), **{name: random.random(count) for name in FEATURES}}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()
