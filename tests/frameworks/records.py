"""Records and batches for the tests of heavy frameworks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import complete_columns
from scoring.models import LoadedModel
from tests.unit.scoring.models import loading

NAMES = loading.NAMES
ROWS = 300


def spec_of(declared: str, model_file: str, **fields: Any) -> ModelSpec:
    return loading.spec_of(declared, model_file=model_file, **fields)


def batch_of(columns: dict[str, Any]) -> FeatureBatch:
    arrays = tuple(column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values())
    return FeatureBatch(tuple(columns), arrays, frozenset())


def numbers(rows: int = ROWS, names: Sequence[str] = NAMES) -> dict[str, Any]:
    random = np.random.default_rng(7)
    return {name: random.normal(size=rows) for name in names}


def matrix(columns: dict[str, Any]) -> Any:
    return np.column_stack(list(columns.values())).astype("float32")


def predicted(spec: ModelSpec, model: LoadedModel, batch: FeatureBatch) -> dict[str, Any]:
    """Return the prediction columns by name, as the engine writes them."""
    columns = complete_columns(spec, model.outputs, model.predict(batch), batch.rows, 0)
    return {field.name: column.to_pylist() for field, column in zip(model.outputs, columns, strict=True)}


def column(values: Any) -> list[Any]:
    return list(np.asarray(values).reshape(-1).tolist())
