"""Records, batches and predictions for the tests of loaders."""

import threading
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import complete_columns
from scoring.models import LoadedModel

NAMES = ("distance", "delay", "hour")
ROWS = 400


def spec_of(declared: str, method: str = "predict", **fields: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "model_id": "model",
        "version": "v1",
        "artifact_sha256": "0" * 64,
        "artifact_bytes": 1,
        "framework": FRAMEWORK_OF_FORMAT[declared],
        "format": declared,
        "model_file": "model",
        "method": method,
        "features": tuple(Feature(name, "double") for name in NAMES),
    }
    return ModelSpec(**{**values, **fields})


def batch_of(frame: pd.DataFrame) -> FeatureBatch:
    arrays = tuple(pa.Array.from_pandas(frame[name]) for name in frame.columns)
    nulls = frozenset(name for name in frame.columns if frame[name].isna().any())
    return FeatureBatch(tuple(frame.columns), arrays, nulls)


def columns_of(spec: ModelSpec, model: LoadedModel, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the prediction columns for a frame, as the engine writes them."""
    columns = complete_columns(spec, model.outputs, model.predict(batch_of(frame)), len(frame), 0)
    return {
        field.name: column.to_numpy(zero_copy_only=False) for field, column in zip(model.outputs, columns, strict=True)
    }


def matrix_of(spec: ModelSpec, model: LoadedModel, frame: pd.DataFrame) -> Any:
    return np.column_stack(list(columns_of(spec, model, frame).values()))


def predicted_by_threads(model: LoadedModel, frame: pd.DataFrame) -> list[Any]:
    """Predict the same rows ten times in each of four concurrent threads."""
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.extend(model.predict(batch_of(frame)) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    return found
