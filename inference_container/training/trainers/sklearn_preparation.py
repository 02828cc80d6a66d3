"""Creates estimators, and the preparation before them: missing values, text columns and scaling.

Both use only scikit-learn's own classes. So the artifact loads without Fleetscore's code, and
scoring may run its batches concurrently.
"""

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from contract.training.hyperparameters import Value
from contract.training.training_spec import TrainingSpec

_MOST_CATEGORIES = 254
"""Categories per text column of histogram gradient boosting: 255 bins, less one for rare texts."""
_MOST_ONE_HOT = 100
"""Largest number of one-hot columns per text column, each of which costs memory."""
_CLASSES: dict[str, tuple[Any, Any]] = {
    "hist_gradient_boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
    "random_forest": (RandomForestClassifier, RandomForestRegressor),
    "extra_trees": (ExtraTreesClassifier, ExtraTreesRegressor),
    "logistic_regression": (LogisticRegression, None),
    "linear_regression": (None, LinearRegression),
    "ridge": (None, Ridge),
    "elastic_net": (None, ElasticNet),
}
_TREES = frozenset({"random_forest", "extra_trees"})
_LINEAR = frozenset({"logistic_regression", "linear_regression", "ridge", "elastic_net"})
_SCORERS = {
    "auc": "roc_auc",
    "average_precision": "average_precision",
    "f1": "f1",
    "f1_macro": "f1_macro",
    "logloss": "neg_log_loss",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "rmse": "neg_root_mean_squared_error",
    "mae": "neg_mean_absolute_error",
    "r2": "r2",
}


def make_preparation(spec: TrainingSpec) -> Any | None:
    """Return the transformer before the estimator; None if it takes the columns unchanged."""
    numbers = [feature.name for feature in spec.features if feature.type != "string"]
    texts = [feature.name for feature in spec.features if feature.type == "string"]
    linear = spec.estimator in _LINEAR
    if not texts and not linear:
        return None
    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    parts = [("numbers", scaled if linear else "passthrough", numbers)] if numbers else []
    if texts:
        parts.append(("texts", _text_encoder(spec), texts))
    return ColumnTransformer(parts, verbose_feature_names_out=False)


def make_estimator(spec: TrainingSpec, values: dict[str, Value]) -> Any:
    """Return the estimator with its hyperparameters and seed."""
    name = str(spec.estimator)
    cls = _CLASSES[name][1 if spec.task == "regression" else 0]
    arguments: dict[str, Any] = dict(values)
    if name in {"hist_gradient_boosting", *_TREES, "elastic_net", "logistic_regression", "ridge"}:
        arguments["random_state"] = spec.seed
    if name == "hist_gradient_boosting":
        rounds = spec.early_stopping_rounds
        arguments |= {"early_stopping": rounds is not None, "categorical_features": _categorical_mask(spec)}
        if rounds is not None:
            arguments |= {"n_iter_no_change": rounds, "scoring": _SCORERS[spec.metric], "tol": 0.0}
    elif name == "logistic_regression":
        arguments.setdefault("max_iter", 1_000)
    return cls(**arguments)


def matrix_type(spec: TrainingSpec) -> type[np.floating[Any]]:
    """Return the type in which the estimator computes; it would copy a matrix of another type."""
    return np.float32 if spec.estimator in _TREES else np.float64


def peak_copies(spec: TrainingSpec) -> float:
    """Return the measured number of copies of the numeric matrix at the memory peak of a fit."""
    return 6.0 if spec.estimator in _LINEAR else 3.5


def _text_encoder(spec: TrainingSpec) -> Any:
    if spec.estimator == "hist_gradient_boosting":
        # Missing and unknown texts become NaN, which this estimator treats as a separate category.
        return OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            max_categories=_MOST_CATEGORIES,
        )
    dense = spec.estimator not in _LINEAR
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=_MOST_ONE_HOT,
        sparse_output=not dense,
        dtype=matrix_type(spec),
    )


def _categorical_mask(spec: TrainingSpec) -> list[bool] | None:
    """Mark the text columns, which follow the numbers once prepared; None if there are none."""
    texts = sum(feature.type == "string" for feature in spec.features)
    return [False] * (len(spec.features) - texts) + [True] * texts if texts else None
