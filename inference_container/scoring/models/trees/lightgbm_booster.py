"""LightGBM's native model, as `Booster.save_model` writes it: predictions are those of `Booster.predict`."""

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
from scoring.models.trees import accelerated_trees
from scoring.models.without_sklearn import import_without_sklearn

lightgbm = import_without_sklearn("lightgbm")

_PROBABILITIES = ("binary", "multiclass", "multiclassova")
"""Objectives whose predictions are probabilities of classes, as LightGBM names them in the file."""


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    try:
        booster = read(path)
    except ValueError as error:
        raise ModelError(f"model {spec.model_id!r}: {spec.model_file!r} {error}") from error
    native = LightgbmModel(spec, booster)
    if not spec.accelerator:
        return native
    return accelerated_trees.checked(
        spec, native, LightgbmModel(spec, booster, accelerated_trees.lightgbm_predict(spec, booster))
    )


def read(path: Path) -> Any:
    """The Booster of a file. Raises ValueError for what is no complete file of LightGBM's text format."""
    text = path.read_bytes()
    remedy = "save it with booster_.save_model('model.txt') (wrapper) or save_model('model.txt') (Booster)"
    if text.startswith(b"\x80"):
        raise ValueError(f"is a pickle, not LightGBM's text: {remedy}")
    if not text.lstrip().startswith(b"tree"):
        raise ValueError(f"is not LightGBM's text format: {remedy}")
    if b"\nend of trees" not in text:
        # LightGBM takes the whole process down when a tree is cut off.
        raise ValueError("ends before its last tree: save it again and register a new version")
    return lightgbm.Booster(model_str=text.decode("utf-8"))


def names_of(booster: Any) -> list[str] | None:
    """The features' names; None for a model that was trained on a matrix, for which LightGBM makes names of its own."""
    names = [str(name) for name in booster.feature_name()]
    return None if names == [f"Column_{index}" for index in range(len(names))] else names


class LightgbmModel:
    """`predict` gives what the objective gives (a probability, a value, one column a class); `margin` the raw scores;
    `predict_proba` one column a class, numbered as in training, since the file does not hold the classes' labels.
    """

    notes: tuple[str, ...] = ()
    concurrent = True
    """LightGBM guards prediction with a lock that readers share."""

    def __init__(self, spec: ModelSpec, booster: Any, accelerated: Any = None) -> None:
        self.native = booster
        self._accelerated = accelerated
        self._method = spec.method
        check_features(_as_lightgbm_names(spec), names_of(booster), booster.num_feature())
        self._categories = booster.pandas_categorical or []
        self._texts = [feature.name for feature in spec.features if feature.type == "string"]
        self._check_categories(spec)
        self._objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split(" ", maxsplit=1)[0]
        if spec.method == "predict_proba" and self._objective not in _PROBABILITIES:
            found = self._objective or "none that the file names"
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
                # One thread a call: the threads of the budget predict whole batches beside each other.
                num_threads=1,
            )
        if self._method == "predict_proba" and values.ndim == 1:
            return np.column_stack([1.0 - values, values])
        return values

    def _frame(self, batch: FeatureBatch) -> Any:
        # LightGBM replaces the categories by those of its training; a text that it did not see counts as missing.
        return batch.frame().astype(dict.fromkeys(self._texts, "category"))

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
    # It writes an underscore for each blank in a name.
    features = tuple(replace(item, name="_".join(item.name.split(" "))) for item in spec.features)
    return replace(spec, features=features)
