"""Loads LightGBM models written by `Booster.save_model`.

Predictions are those of `Booster.predict`.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.lazy_imports import import_without_sklearn
from scoring.models import LoadedModel, check_features
from scoring.models.categories import Categories, input_names, typed_values
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
    rows_are_independent = True

    def __init__(self, spec: ModelSpec, booster: Any, accelerated: Any = None) -> None:
        self.native = booster
        self._accelerated = accelerated
        self._method = spec.method
        self.notes = time_notes(spec, np.float64)
        check_features(as_lightgbm_names(spec), names_of(booster), booster.num_feature())
        self.categories = Categories(typed_values(spec, stored_categories(spec, booster)))
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
        # A value that is not a category counts as missing.
        matrix = self.categories.encode(batch).matrix(np.float64)
        if self._accelerated is not None:
            values = self._accelerated(matrix)
        else:
            values = self.native.predict(
                matrix,
                raw_score=self._method == "margin",
                # One thread per call, because the threads of the budget predict whole batches
                # concurrently.
                num_threads=1,
            )
        if self._method == "predict_proba" and values.ndim == 1:
            return np.column_stack([1.0 - values, values])
        return values


def stored_categories(spec: ModelSpec, booster: Any) -> dict[str, list[Any]]:
    """Return the categories of pandas that a Booster stores, by feature of the record.

    The file lists them without names, in the order of the frame's columns of category dtype.

    Raises:
        ModelError: The columns cannot be told from the record and the file.
    """
    stored = booster.pandas_categorical or []
    if not stored and not any(feature.type == "string" for feature in spec.features):
        return {}
    texts = [feature.name for feature in spec.features if feature.type == "string"]
    infos = dict(zip(input_names(spec), _infos_of_features(booster), strict=True))
    marked = [name for name, info in infos.items() if info.marked]
    columns = marked if set(texts) <= set(marked) and len(marked) == len(stored) else texts
    only_texts = all(isinstance(value, str) for values in stored for value in values)
    if (
        len(columns) != len(stored)
        or (columns is texts and not only_texts)
        or not all(infos[name].codes <= set(range(len(values))) for name, values in zip(columns, stored, strict=True))
    ):
        raise ModelError(
            f"model {spec.model_id!r}: its record declares {len(texts)} features as string {texts}, the model was "
            f"trained on {len(stored)} columns of pandas's category dtype, and its file treats {marked} as "
            "categorical: declare columns of texts as string; train without ordered categories, and without "
            "categorical_feature, or encode categories as numbers in training"
        )
    return dict(zip(columns, stored, strict=True))


class _Info(NamedTuple):
    """What a file says about a feature: whether it is categorical, and codes or bounds of its values."""

    marked: bool
    codes: set[float]


def _infos_of_features(booster: Any) -> list[_Info]:
    text = booster.model_to_string(num_iteration=1)
    line = re.search(r"^feature_infos=(.*)$", text, re.MULTILINE)
    parameter = re.search(r"^\[categorical_feature: ([0-9,]+)\]$", text, re.MULTILINE)
    marked = {int(index) for index in parameter[1].split(",")} if parameter else set()
    found: list[_Info] = []
    for index, info in enumerate(line[1].split(" ") if line else ["none"] * booster.num_feature()):
        # "[0:1]" are the bounds of numbers, "-1:0:1" the codes of categories, with -1 for missing.
        # A feature without splits has "none".
        codes = {float(code) for code in info.strip("[]").split(":")} if info != "none" else set()
        found.append(_Info(index in marked or not info.startswith(("[", "none")), codes - {-1.0}))
    return found


def as_lightgbm_names(spec: ModelSpec) -> ModelSpec:
    """Return the record with the names that LightGBM gives its features: an underscore per blank."""
    features = tuple(replace(item, name="_".join(item.name.split(" "))) for item in spec.features)
    return replace(spec, features=features)
