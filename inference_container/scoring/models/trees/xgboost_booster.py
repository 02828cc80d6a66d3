"""Loads XGBoost models written by `Booster.save_model`.

Predictions are those of `Booster.predict`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.models import LoadedModel
from scoring.models.times import time_notes
from scoring.models.trees.xgboost_library import BoosterFile


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    file = BoosterFile(spec, path)
    native = BoosterModel(spec, file)
    if not spec.accelerator:
        return native
    from scoring.models.trees import accelerated_trees  # noqa: PLC0415 - few models need it

    return accelerated_trees.CheckedModel(spec, native, BoosterModel(spec, file.accelerated(spec)))


class BoosterModel:
    """A Booster.

    `predict` returns what the objective defines (a probability, a value, one column per class),
    `margin` the raw sums.
    """

    rows_are_independent = True

    def __init__(self, spec: ModelSpec, file: BoosterFile) -> None:
        self._file = file
        self.native = file.booster
        self.categories = file.categories
        self._margin = spec.method == "margin"
        width = max(file.classes, file.targets, 1)
        if file.objective == "multi:softmax" and not self._margin:
            width = 1
        self.outputs = output_fields(spec, [pa.float32()] * width, range(width) if width > 1 else None)
        self.concurrent = file.concurrent
        self.notes = file.notes + time_notes(spec, np.float32)

    def predict(self, batch: FeatureBatch) -> Any:
        return self._file.predict(batch, margin=self._margin)
