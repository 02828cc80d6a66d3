"""Records and batches of the heavy frameworks' tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from contract.spec import FRAMEWORK_OF_FORMAT, Feature, ModelSpec
from scoring.features import FeatureBatch
from scoring.models import LoadedModel
from scoring.predictions import to_columns

NAMES = ("distance", "delay", "hour")
ROWS = 300


def spec_of(declared: str, model_file: str, **fields: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "model_id": "model",
        "version": "v1",
        "artifact_sha256": "0" * 64,
        "artifact_bytes": 1,
        "framework": FRAMEWORK_OF_FORMAT[declared],
        "format": declared,
        "model_file": model_file,
        "method": "predict",
        "features": tuple(Feature(name, "double") for name in NAMES),
    }
    return ModelSpec(**{**values, **fields})


def batch_of(columns: dict[str, Any]) -> FeatureBatch:
    arrays = tuple(column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values())
    return FeatureBatch(tuple(columns), arrays, frozenset())


def numbers(rows: int = ROWS, names: Sequence[str] = NAMES) -> dict[str, Any]:
    random = np.random.default_rng(7)
    return {name: random.normal(size=rows) for name in names}


def matrix(columns: dict[str, Any]) -> Any:
    return np.column_stack(list(columns.values())).astype("float32")


def predicted(spec: ModelSpec, model: LoadedModel, batch: FeatureBatch) -> dict[str, Any]:
    """Prediction columns by name, as the engine would write them."""
    columns = to_columns(spec, model.outputs, model.predict(batch), batch.rows, 0)
    return {field.name: column.to_pylist() for field, column in zip(model.outputs, columns, strict=True)}


def column(values: Any) -> list[Any]:
    return list(np.asarray(values).reshape(-1).tolist())
