"""Imports scikit-learn without unused parts, and lists the estimators that accept a matrix."""

import sys
import warnings
from typing import Any

from scoring.lazy_imports import import_lazily, postponed_parts_of_numpy

_LAZY_FUNCTIONS = frozenset({"gmean", "rankdata", "spearmanr"})
"""Functions of scipy.stats that scikit-learn uses in training and for metrics only."""


def _import_sklearn() -> Any:
    # scipy.stats takes half of the import time and 17 MB per process, for a few functions that few
    # models call.
    import_lazily("scipy.stats", _LAZY_FUNCTIONS)
    # sklearn/utils/fixes.py imports pandas if it is installed, a fifth of the import time, for a
    # helper that gets pandas passed in. A None entry makes this import fail, which scikit-learn
    # handles. Code that needs pandas later, such as an estimator that takes a frame, can import it
    # then.
    blocked = "pandas" not in sys.modules
    if blocked:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        with postponed_parts_of_numpy():
            import sklearn.base  # noqa: PLC0415 - this function controls the import
    finally:
        if blocked:
            del sys.modules["pandas"]
    return sklearn


sklearn = _import_sklearn()


def is_pipeline(estimator: Any, *, exact: bool = False) -> bool:
    """Return whether an estimator is a Pipeline or, unless `exact`, of a class derived from it.

    The module takes a quarter of scikit-learn's import time, and a model that is no pipeline does not need it.
    """
    module = sys.modules.get("sklearn.pipeline")
    if module is None:
        return False
    return type(estimator) is module.Pipeline if exact else isinstance(estimator, module.Pipeline)


_NAMES_WARNING = "X does not have valid feature names"
_PACKAGES_BY_POSITION = frozenset(
    f"sklearn.{package}"
    for package in (
        "cluster",
        "decomposition",
        "discriminant_analysis",
        "isotonic",
        "linear_model",
        "naive_bayes",
        "neighbors",
        "neural_network",
        "svm",
        "tree",
    )
)
"""Packages whose estimators check a frame's names and then convert it to an array."""
_ESTIMATORS_BY_POSITION = frozenset(
    {
        *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer", "PolynomialFeatures"),
        *("QuantileTransformer", "PowerTransformer", "SimpleImputer"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("GradientBoostingClassifier", "GradientBoostingRegressor"),
        *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "IsolationForest"),
    }
)
"""Further estimators that convert a frame to an array.

Others of their packages select columns by name, run user code, or pass the frame on.
"""


_FORESTS = frozenset({"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"})


def iterates_rows(estimator: Any) -> bool:
    """Return whether an estimator is faster on a row-major matrix and predicts the same on it.

    Forests take 7 % less time on one. Histogram gradient boosting takes more.
    """
    return type(estimator).__module__.startswith("sklearn.ensemble.") and type(estimator).__qualname__ in _FORESTS


def accepts_matrix(estimator: Any) -> bool:
    """Return whether an estimator trained on a frame predicts the same from a matrix.

    True only for known estimators; all others get a frame.
    """
    if is_pipeline(estimator, exact=True):
        return all(part is None or isinstance(part, str) or accepts_matrix(part) for _, part in estimator.steps)
    # Its output may be a frame, whose names the next step may use.
    if getattr(estimator, "_sklearn_output_config", None):
        return False
    module, name = type(estimator).__module__, type(estimator).__qualname__
    package = ".".join(module.split(".")[:2])
    return package in _PACKAGES_BY_POSITION or (module.startswith("sklearn.") and name in _ESTIMATORS_BY_POSITION)


def is_without_own_code(estimator: Any) -> bool:
    """Return whether an estimator and all its parts are scikit-learn's own.

    Other code may compare the rows of a call, such as a function of a FunctionTransformer.
    """
    parts = [estimator, *estimator.get_params(deep=True).values()]
    code = [part for part in parts if hasattr(part, "transform") or hasattr(part, "predict")]
    return all(
        type(part).__module__.startswith("sklearn.") and type(part).__qualname__ != "FunctionTransformer"
        for part in code
    )


def ignore_missing_names() -> None:
    """Ignore the warning about missing names, which were checked on loading."""
    # Only once, because a change of the filters makes Python repeat all warnings.
    if not any(shown is not None and shown.pattern == _NAMES_WARNING for _, shown, *_ in warnings.filters):
        warnings.filterwarnings("ignore", message=_NAMES_WARNING, category=UserWarning)
