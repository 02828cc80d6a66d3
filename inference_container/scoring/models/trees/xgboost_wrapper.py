"""Loads models saved by XGBClassifier and XGBRegressor; predictions are those of the class.

The class's last step, from the Booster's numbers to labels and probabilities, is done here.
Importing the class, with scikit-learn and pandas, would take longer than scoring a small job. A
test compares the results.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import LoadedModel
from scoring.models.times import time_notes
from scoring.models.trees.xgboost_library import BoosterFile


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    file = BoosterFile(spec, path)
    native = WrapperModel(spec, file)
    if not spec.accelerator:
        return native
    if file.objective == "multi:softmax" and spec.method == "predict_proba":
        raise ModelError(
            f"model {spec.model_id!r}: {spec.accelerator} returns no probabilities for objective 'multi:softmax': set "
            "accelerator to '' in the model's record"
        )
    from scoring.models.trees import accelerated_trees  # noqa: PLC0415 - few models need it

    return accelerated_trees.CheckedModel(spec, native, WrapperModel(spec, file.accelerated(spec, native.trees)))


class WrapperModel:
    """A Booster that predicts as its scikit-learn wrapper.

    `predict` returns labels (classifier) or values, `predict_proba` one column per class, `margin`
    the raw sums.
    """

    rows_are_independent = True

    def __init__(self, spec: ModelSpec, file: BoosterFile) -> None:
        saved = file.booster.attr("scikit_learn")
        if saved is None:
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} was not saved by XGBClassifier or XGBRegressor: use "
                f"format {spec.format.replace('-sklearn', '')!r} in its record"
            )
        self._classifier = json.loads(saved).get("_estimator_type") == "classifier"
        if spec.method == "predict_proba" and not self._classifier:
            raise ModelError(f"model {spec.model_id!r}: predict_proba needs a classifier: use predict in its record")
        self._file = file
        self.native = file.booster
        self.categories = file.categories
        self._method = spec.method
        best = file.booster.attr("best_iteration")
        # Unlike a Booster, the wrapper ignores the trees after the best iteration of early
        # stopping.
        self._trees = (0, 0) if best is None or file.linear else (0, int(best) + 1)
        self._classes = max(2, file.classes)
        self._several_labels = self._classifier and file.targets > 1
        self.outputs = output_fields(spec, *self._describe_outputs())
        self.concurrent = file.concurrent
        self.notes = file.notes + time_notes(spec, np.float32)

    @property
    def trees(self) -> int:
        """Number of boosting rounds used; 0 means all."""
        return self._trees[1]

    def predict(self, batch: FeatureBatch) -> Any:
        if self._method == "margin":
            return self._raw(batch, margin=True)
        if self._method == "predict_proba":
            return self._probabilities(batch)
        values = self._raw(batch)
        return self._labels(values) if self._classifier else values

    def _describe_outputs(self) -> tuple[list[pa.DataType], range | None]:
        width = max(self._file.classes, self._file.targets, 1)
        if self._method == "predict_proba" and not self._several_labels:
            width = self._classes
        elif self._method == "predict" and self._classifier and not self._several_labels:
            width = 1
        labels = self._method == "predict" and self._classifier
        kind = (pa.float64() if self._several_labels else pa.int64()) if labels else pa.float32()
        return [kind] * width, range(width) if width > 1 else None

    def _raw(self, batch: FeatureBatch, *, margin: bool = False) -> Any:
        return self._file.predict(batch, margin=margin, trees=self._trees)

    def _labels(self, values: Any) -> Any:
        if self._several_labels:
            return (values > 0.5).astype(np.float64)
        if values.ndim > 1 and self._classes != 2:
            return np.argmax(values, axis=1)
        if self._file.objective == "multi:softmax":
            return values.astype(np.int32)
        return (values.reshape(-1) > 0.5).astype(np.int64)

    def _probabilities(self, batch: FeatureBatch) -> Any:
        if self._file.objective == "multi:softmax":
            from scipy.special import softmax  # noqa: PLC0415 - no other model needs it

            return softmax(self._raw(batch, margin=True), axis=1)
        values = self._raw(batch)
        if values.ndim == 2 and values.shape[1] >= self._classes:
            return values
        second = values.reshape(-1)
        return np.vstack((1.0 - second, second)).transpose()
