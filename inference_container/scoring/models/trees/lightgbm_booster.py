"""Loads LightGBM models written by `Booster.save_model`.

Predictions are those of `Booster.predict`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import LoadedModel, check_features
from scoring.models.lazy_imports import import_without_sklearn
from scoring.models.times import time_notes
from scoring.models.trees import accelerated_trees

lightgbm = import_without_sklearn("lightgbm")

_PROBABILITIES = ("binary", "multiclass", "multiclassova")
"""Objectives, as named in the file, whose predictions are class probabilities."""


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    try:
        booster = read(path)
    except ValueError as error:
        raise ModelError(f"model {spec.model_id!r}: {spec.model_file!r} {error}") from error
    native = LightgbmModel(spec, booster)
    if not spec.accelerator:
        return native
    return accelerated_trees.CheckedModel(
        spec, native, LightgbmModel(spec, booster, accelerated_trees.lightgbm_predict(spec, booster))
    )


def read(path: Path) -> Any:
    """Read a Booster.

    Raises:
        ValueError: The file is not a complete model in LightGBM's text format.
    """
    text = path.read_bytes()
    remedy = "save it with booster_.save_model('model.txt') (wrapper) or save_model('model.txt') (Booster)"
    if text.startswith(b"\x80"):
        raise ValueError(f"is a pickle, not LightGBM's text: {remedy}")
    if not text.lstrip().startswith(b"tree"):
        raise ValueError(f"is not LightGBM's text format: {remedy}")
    if b"\nend of trees" not in text:
        # LightGBM crashes the process on a truncated tree.
        raise ValueError("ends before its last tree: save it again and register a new version")
    return lightgbm.Booster(model_str=text.decode("utf-8"))


def names_of(booster: Any) -> list[str] | None:
    """Return the features' names; None if LightGBM generated them for a matrix."""
    names = [str(name) for name in booster.feature_name()]
    return None if names == [f"Column_{index}" for index in range(len(names))] else names


class LightgbmModel:
    """A LightGBM Booster.

    `predict` returns what the objective defines (a probability, a value, one column per class),
    `margin` the raw scores, `predict_proba` one column per class. Classes are numbered as in
    training: the file holds no labels.
    """

    notes: tuple[str, ...] = ()
    concurrent = True
    """LightGBM's predictions share a reader lock."""

    def __init__(self, spec: ModelSpec, booster: Any, accelerated: Any = None) -> None:
        self.native = booster
        self._accelerated = accelerated
        self._method = spec.method
        self.notes = time_notes(spec, np.float64)
        check_features(_as_lightgbm_names(spec), names_of(booster), booster.num_feature())
        self._categories = booster.pandas_categorical or []
        self._texts = [feature.name for feature in spec.features if feature.type == "string"]
        self._check_categories(spec)
        self._objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split(" ", maxsplit=1)[0]
        if spec.method == "predict_proba" and self._objective not in _PROBABILITIES:
            found = self._objective or "not in the file"
            raise ModelError(
                f"model {spec.model_id!r}: predict_proba needs a classifier, its objective is {found}: use predict in "
                "its record"
            )
        width = int(booster.num_model_per_iteration())
        if spec.method == "predict_proba":
            width = max(width, 2)
        self.outputs = output_fields(spec, [pa.float64()] * width, range(width) if width > 1 else None)

    def predict(self, batch: FeatureBatch) -> Any:
        if self._accelerated is not None:
            values = self._accelerated(batch.matrix(np.float64))
        else:
            values = self.native.predict(
                self._frame(batch) if self._categories else batch.matrix(np.float64),
                raw_score=self._method == "margin",
                # One thread per call, because the threads of the budget predict whole batches
                # concurrently.
                num_threads=1,
            )
        if self._method == "predict_proba" and values.ndim == 1:
            return np.column_stack([1.0 - values, values])
        return values

    def _frame(self, batch: FeatureBatch) -> Any:
        # LightGBM maps these to the categories of its training; a text unknown to it counts as
        # missing.
        return batch.with_times_as_numbers().frame().astype(dict.fromkeys(self._texts, "category"))

    def _check_categories(self, spec: ModelSpec) -> None:
        texts = all(isinstance(value, str) for values in self._categories for value in values)
        if len(self._texts) != len(self._categories) or not texts:
            raise ModelError(
                f"model {spec.model_id!r}: its record declares {len(self._texts)} features as string {self._texts}, "
                f"the model was trained on {len(self._categories)} categorical columns of pandas with "
                f"{'texts' if texts else 'values other than texts'}: declare exactly the categorical columns as "
                "string, and train on categories that are texts, or encode them as numbers in training"
            )


def _as_lightgbm_names(spec: ModelSpec) -> ModelSpec:
    # LightGBM replaces each blank in a name by an underscore.
    features = tuple(replace(item, name="_".join(item.name.split(" "))) for item in spec.features)
    return replace(spec, features=features)
