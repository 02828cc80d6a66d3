"""Loads scikit-learn estimators and pipelines saved by joblib."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import check_features
from scoring.models.scikit_learn.library import accepts_matrix, ignore_missing_names, iterates_rows, sklearn
from scoring.models.times import time_notes

_TYPES_BY_KIND = {"i": pa.int64(), "u": pa.uint64(), "f": pa.float64(), "b": pa.bool_()}


def load(spec: ModelSpec, path: Path) -> "SklearnModel":
    return SklearnModel(spec, joblib.load(path))


class SklearnModel:
    """An estimator, called with named columns if it was trained on them, else with a matrix."""

    notes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, estimator: Any) -> None:
        self.native = estimator
        if not hasattr(estimator, spec.method):
            raise ModelError(
                f"model {spec.model_id!r}: its {type(estimator).__name__} has no {spec.method}: choose another method "
                "in the model's record"
            )
        names = getattr(estimator, "feature_names_in_", None)
        check_features(spec, names, getattr(estimator, "n_features_in_", None))
        texts = [feature.name for feature in spec.features if feature.type == "string"]
        if names is None and texts:
            raise ModelError(
                f"model {spec.model_id!r}: it was trained without column names and so takes a matrix of numbers, but "
                f"its record declares {texts} as string: train it on a DataFrame, or encode these columns beforehand"
            )
        types = {feature.type for feature in spec.features}
        # pandas stores a frame of a single float type as one matrix, which is all that such a model
        # uses.
        # Estimators that convert a frame to numbers refuse times in it.
        times = any(feature.is_time for feature in spec.features)
        self._without_names = (
            names is not None and (times or types in ({"double"}, {"float"})) and accepts_matrix(estimator)
        )
        self._named = names is not None and not self._without_names
        self._by_rows = iterates_rows(estimator)
        # Forests call each tree separately: with hundreds of trees, 5 % of a default batch's time.
        self.high_call_overhead = self._by_rows
        single = all(feature.type == "float" or feature.type.startswith("list<float>") for feature in spec.features)
        self._dtype: type[np.floating[Any]] = np.float32 if single else np.float64
        if not self._named:
            self.notes = time_notes(spec, self._dtype)
        self._predict = getattr(estimator, spec.method)
        self.concurrent = all(type(step).__module__.startswith("sklearn.") for step in _steps(estimator))
        self.outputs = output_fields(spec, *_outputs(spec, estimator))

    def predict(self, batch: FeatureBatch) -> Any:
        # Sequential, even if the model was trained with n_jobs: the supervisor distributes the
        # cores, and sums over trees in the order in which threads finish would differ between
        # attempts.
        with joblib.parallel_config(backend="sequential"):
            if self._named:
                return self._predict(batch.frame())
            if self._without_names:
                ignore_missing_names()
                if not self._by_rows:
                    return self._predict(batch.block(self._dtype))
            return self._predict(batch.matrix(self._dtype, read_only=self.concurrent))


def _steps(estimator: Any) -> list[Any]:
    if isinstance(estimator, sklearn.pipeline.Pipeline):
        return [estimator, *(step for _, part in estimator.steps if part is not None for step in _steps(part))]
    return [estimator] if not isinstance(estimator, str) else []


def _outputs(spec: ModelSpec, estimator: Any) -> tuple[list[pa.DataType], list[object] | None]:
    """Return the types of the prediction columns, and their labels if there are several.

    They are determined without a prediction, because an object without rows needs the same columns.
    """
    classes = getattr(estimator, "classes_", None)
    if spec.method == "predict":
        return _label_outputs(spec, estimator, classes)
    single = classes is not None and not isinstance(classes, list)
    if spec.method == "predict_proba" and not single:
        raise ModelError(
            f"model {spec.model_id!r}: predict_proba needs one list of classes, its {type(estimator).__name__} has "
            f"{'none' if classes is None else 'several'}: use predict in its record"
        )
    labels = list(classes) if single and classes is not None else []
    if spec.method == "decision_function":
        named = len(spec.output_columns)
        # Two classes give one column; one-vs-one gives a column per pair, which only the record can
        # name.
        if len(labels) < 3 or named not in (0, len(labels)):
            return [pa.float64()] * max(1, named), None
    return [pa.float64()] * len(labels), labels


def _label_outputs(spec: ModelSpec, estimator: Any, classes: Any) -> tuple[list[pa.DataType], list[object] | None]:
    if isinstance(classes, list):
        return [_label_type(part) for part in classes], list(range(len(classes)))
    kind = pa.float64()
    # A class that does not derive from scikit-learn's has no tags that tell its kind.
    if not hasattr(estimator, "__sklearn_tags__"):
        kind = kind if classes is None else _label_type(classes)
    elif classes is not None and sklearn.base.is_classifier(estimator):
        kind = _label_type(classes)
    elif sklearn.base.is_outlier_detector(estimator) or sklearn.base.is_clusterer(estimator):
        kind = pa.int64()
    # Only the record can tell that a model predicts several targets.
    return [kind] * max(1, len(spec.output_columns)), None


def _label_type(classes: Any) -> pa.DataType:
    labels = np.asarray(classes)
    if labels.dtype.kind == "O":
        labels = np.asarray(labels.tolist())
    return _TYPES_BY_KIND.get(labels.dtype.kind, pa.string())
