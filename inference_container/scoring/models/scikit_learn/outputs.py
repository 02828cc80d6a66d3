"""The prediction columns of scikit-learn models: one per output and class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.arrow_types import arrow_type
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models.scikit_learn.library import sklearn

_TYPES_BY_KIND = {"i": pa.int64(), "u": pa.uint64(), "f": pa.float64(), "b": pa.bool_()}

Columns = tuple[list[pa.DataType], Sequence[object] | None]
"""Types of the prediction columns, and their labels if there are several."""


def made_up_row(spec: ModelSpec, categories: Mapping[str, pa.Array]) -> FeatureBatch:
    """Return a row of zeros and empty texts, or of the first category where they are known."""
    arrays = []
    for feature in spec.features:
        known = categories.get(feature.name)
        kind = arrow_type(feature.type)
        value: object = "" if feature.type == "string" else False if feature.type == "bool" else 0
        if feature.is_list:
            value = [0.0] * feature.width
        arrays.append(known.slice(0, 1) if known else pa.array([value], kind))
    return FeatureBatch(tuple(feature.name for feature in spec.features), tuple(arrays), frozenset())


def as_matrix(values: Any) -> Any:
    """Return predictions as one array: several outputs side by side, and sparse ones dense."""
    if isinstance(values, list) and values and all(getattr(part, "ndim", 0) == 2 for part in values):
        return np.hstack(values)
    return values.toarray() if hasattr(values, "toarray") else values


def outputs_of(spec: ModelSpec, estimator: Any, sample: Any) -> Columns:
    """Return the columns of a model.

    `sample` is its prediction of one row; None if that is unknown. The model's attributes tell the
    rest, so that an object without rows gets the same columns.

    Raises:
        ModelError: predict_proba of an estimator that does not tell its classes.
    """
    classes = getattr(estimator, "classes_", None)
    by_method = {"predict": _predicted, "predict_proba": _probabilities, "decision_function": _decisions}
    return by_method[spec.method](spec, estimator, classes, sample)


def _predicted(spec: ModelSpec, estimator: Any, classes: Any, sample: Any) -> Columns:
    if isinstance(classes, list):
        # A ClassifierChain gives numbers whatever its classes are.
        kinds = [_label_type(part) for part in classes]
        if sample is not None and np.asarray(sample).dtype.kind == "f":
            kinds = [pa.float64()] * len(classes)
        return kinds, range(len(classes))
    width = _width(sample) or len(spec.output_columns) or _count_outputs(estimator)
    kind = _predicted_type(estimator, classes)
    if width == 1:
        return [kind], None
    if classes is None or not sklearn.base.is_classifier(estimator):
        return [kind] * width, range(width)
    # Several labels per row: a column of 0 and 1 per label.
    kind = pa.int64() if sample is None else _label_type(as_matrix(sample))
    return [kind] * width, list(classes) if len(classes) == width else range(width)


def _probabilities(spec: ModelSpec, estimator: Any, classes: Any, sample: Any) -> Columns:
    if isinstance(classes, list):
        chained = type(estimator).__name__ == "ClassifierChain" if sample is None else not isinstance(sample, list)
        labels: Sequence[object] = range(len(classes))
        if not chained:
            labels = [f"{index}_{label}" for index, part in enumerate(classes) for label in part]
    elif classes is not None and _width(sample) in (0, len(classes)):
        labels = list(classes)
    elif sample is not None:
        # Such as a mixture, whose components have no labels, or XGBoost for several labels per row.
        labels = range(_width(sample))
    else:
        raise ModelError(
            f"model {spec.model_id!r}: predict_proba needs a list of classes, its {type(estimator).__name__} has "
            "none: use predict in its record"
        )
    return [pa.float64()] * len(labels), labels


def _decisions(spec: ModelSpec, estimator: Any, classes: Any, sample: Any) -> Columns:
    labels = range(len(classes)) if isinstance(classes, list) else list(() if classes is None else classes)
    # Two classes give one column, one-vs-one a column per pair of classes.
    width = _width(sample) or len(spec.output_columns) or (len(labels) if len(labels) > 2 else 1)
    if width == 1:
        return [pa.float64()], None
    return [pa.float64()] * width, labels if len(labels) == width else range(width)


def _width(sample: Any) -> int:
    """Return the number of columns of a prediction; 0 if it is unknown."""
    if sample is None:
        return 0
    shape = np.shape(as_matrix(sample))
    return int(shape[1]) if len(shape) == 2 else 1


def _count_outputs(estimator: Any) -> int:
    # A network counts its classes.
    count = getattr(estimator, "n_outputs_", 1)
    return int(count) if isinstance(count, (int, np.integer)) and not hasattr(estimator, "classes_") else 1


def _predicted_type(estimator: Any, classes: Any) -> pa.DataType:
    # A class that does not derive from scikit-learn's has no tags that tell its kind.
    if not hasattr(estimator, "__sklearn_tags__"):
        return pa.float64() if classes is None else _label_type(classes)
    if classes is not None and sklearn.base.is_classifier(estimator):
        return _label_type(classes)
    if sklearn.base.is_outlier_detector(estimator) or sklearn.base.is_clusterer(estimator):
        return pa.int64()
    return pa.float64()


def _label_type(classes: Any) -> pa.DataType:
    labels = np.asarray(classes)
    if labels.dtype.kind == "O":
        labels = np.asarray(labels.tolist())
    return _TYPES_BY_KIND.get(labels.dtype.kind, pa.string())
