"""scikit-learn, imported without what scoring does not use, and which estimators take a matrix as well as a frame."""

import sys
import warnings
from typing import Any

from scoring.models.lazy_imports import import_late

_LATE_FUNCTIONS = frozenset({"gmean", "rankdata", "spearmanr"})
"""What scikit-learn takes out of scipy.stats by name; it calls them in training and for metrics."""


def _import_sklearn() -> Any:
    # Half of the import time and 17 MB a process, for a handful of functions that hardly a predict calls.
    import_late("scipy.stats", _LATE_FUNCTIONS)
    # sklearn/utils/fixes.py imports pandas whenever it is installed, a fifth of the import time, for one helper that
    # gets pandas handed in. A None entry makes that import fail, which scikit-learn provides for. Whoever needs pandas
    # afterwards, such as an estimator that takes a frame, imports it then.
    blocked = "pandas" not in sys.modules
    if blocked:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        import sklearn.base  # noqa: PLC0415 - the import above all is what this function is about
        import sklearn.pipeline  # noqa: PLC0415
    finally:
        if blocked:
            del sys.modules["pandas"]
    return sklearn


sklearn = _import_sklearn()

_NAMES_WARNING = "X does not have valid feature names"
_BY_POSITION = frozenset(
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
"""Packages whose estimators check a frame's names and then see an array."""
_ALSO_BY_POSITION = frozenset(
    {
        *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer", "PolynomialFeatures"),
        *("QuantileTransformer", "PowerTransformer", "SimpleImputer"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("GradientBoostingClassifier", "GradientBoostingRegressor"),
        *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "IsolationForest"),
    }
)
"""Of packages that have others: those pick columns by name, run code of the user, or hand the frame on."""


_FORESTS = frozenset({"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"})


def walks_rows(estimator: Any) -> bool:
    """Whether it looks at row after row and only compares values: then a matrix' order is a matter of time alone.

    Forests take a fourteenth less time where a row's values lie together; boosted histograms rather more.
    """
    return type(estimator).__module__.startswith("sklearn.ensemble.") and type(estimator).__qualname__ in _FORESTS


def takes_matrix(estimator: Any) -> bool:
    """Whether an estimator that was trained on a frame gives the same for the frame's values without their names.

    Only what is known to be so; all else gets its frame.
    """
    if type(estimator) is sklearn.pipeline.Pipeline:
        return all(part is None or isinstance(part, str) or takes_matrix(part) for _, part in estimator.steps)
    # Its output may be a frame, whose names the next step looks at.
    if getattr(estimator, "_sklearn_output_config", None):
        return False
    module, name = type(estimator).__module__, type(estimator).__qualname__
    package = ".".join(module.split(".")[:2])
    return package in _BY_POSITION or (module.startswith("sklearn.") and name in _ALSO_BY_POSITION)


def expect_matrix_without_names() -> None:
    """No warning for each batch: the names were held against the record's when the model was loaded."""
    # Only where it is not there: a changed list of filters makes Python repeat all warnings that it gave once.
    if not any(shown is not None and shown.pattern == _NAMES_WARNING for _, shown, *_ in warnings.filters):
        warnings.filterwarnings("ignore", message=_NAMES_WARNING, category=UserWarning)
