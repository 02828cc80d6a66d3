"""Computes what known linear estimators compute, without the checks that scikit-learn makes per call.

For the few rows that one model of a fleet gets, these checks take ten times as long as the numbers.
The operations and their order are scikit-learn's, so the predictions have the same bits. That is
checked for the first model of each kind that a process loads. Rows with NaN or infinity are left to scikit-learn, which
refuses them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scoring.models.scikit_learn.library import is_pipeline

Matrix = npt.NDArray[np.floating[Any]]
DirectCall = Callable[[Matrix], Any]
"""Returns the predictions of a matrix, or None if it holds NaN or infinity."""

_TRIED_ROWS = 32
_MAX_TRIED_WIDTH = 10_000
_is_equal: dict[object, bool] = {}
"""Whether the function of a kind gives the bits of scikit-learn."""
_REGRESSORS = frozenset({"LinearRegression", "Ridge", "Lasso", "ElasticNet"})
_CLASSIFIERS = frozenset({"LogisticRegression"})


def direct_call(
    estimator: Any, method: str, width: int, dtype: type[np.floating[Any]], *, by_columns: bool
) -> tuple[DirectCall | None, Any]:
    """Return a function that predicts as the estimator's method does, and predictions of a made-up row.

    The function takes matrices of this width, type and memory layout. It is None if the estimator is
    not known, or if the function gives other bits than the estimator.
    """
    steps = _steps(estimator)
    # A user may have replaced a method of the object.
    has_own_code = any(callable(value) for part in (estimator, *steps) for value in vars(part).values())
    call = None if has_own_code else _find(steps, method)
    if call is None or width > _MAX_TRIED_WIDTH:
        return None, None
    kind = (tuple(map(_described, steps)), method, width, dtype, by_columns)
    try:
        if kind not in _is_equal:
            _is_equal[kind] = _gives_equal_bits(call, getattr(estimator, method), width, dtype, by_columns=by_columns)
        return (call, call(np.zeros((1, width), dtype))) if _is_equal[kind] else (None, None)
    # A model need not accept made-up rows.
    except Exception:
        return None, None


def _gives_equal_bits(
    call: DirectCall, predict: Callable[[Matrix], Any], width: int, dtype: type[np.floating[Any]], *, by_columns: bool
) -> bool:
    rows = np.random.default_rng(1).normal(size=(_TRIED_ROWS, width)).astype(dtype)
    rows = np.asfortranarray(rows) if by_columns else rows
    expected, found = np.asarray(predict(rows.copy("K"))), call(rows.copy("K"))
    if found is None or found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    return bool(found.tobytes() == expected.tobytes())


def _described(step: Any) -> tuple[object, ...]:
    """Return what decides which operations a step has: its class, its settings, and the forms of its arrays."""
    values = [
        (name, value.dtype, value.ndim, value.flags.f_contiguous) if isinstance(value, np.ndarray) else (name, value)
        for name, value in sorted(vars(step).items())
        if isinstance(value, (np.ndarray, bool, str, type(None)))
    ]
    return (type(step), *values)


def _steps(estimator: Any) -> list[Any]:
    if is_pipeline(estimator, exact=True):
        return [part for _, part in estimator.steps if part is not None and not isinstance(part, str)]
    return [estimator]


def _find(steps: list[Any], method: str) -> DirectCall | None:
    *scalers, last = steps or [None]
    if not all(_is_of(step, "sklearn.preprocessing.", {"StandardScaler"}) for step in scalers):
        return None
    predict = _prediction(last, method)
    if predict is None:
        return None
    shifts = [(step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None) for step in scalers]
    means = {kind: _in_type(shifts, kind) for kind in (np.float32, np.float64)}

    def call(matrix: Matrix) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            if shifts:
                matrix = matrix.copy("K")
                for mean, scale in means[matrix.dtype.type]:
                    if mean is not None:
                        matrix -= mean
                    if scale is not None:
                        matrix /= scale
            # As scikit-learn checks it: the sum shows NaN and infinity, and overflows rarely.
            return predict(matrix) if np.isfinite(matrix.sum()) else None

    return call


def _prediction(last: Any, method: str) -> DirectCall | None:
    """Return the function of the last step, on a matrix of finite numbers."""
    is_regressor = _is_of(last, "sklearn.linear_model.", _REGRESSORS) and method == "predict"
    if not is_regressor and not _is_of(last, "sklearn.linear_model.", _CLASSIFIERS):
        return None
    coefficients: Any = getattr(last, "coef_", None)
    intercept: Any = getattr(last, "intercept_", None)
    if not isinstance(coefficients, np.ndarray):
        return None
    transposed: Any = coefficients.T if coefficients.ndim == 2 else coefficients

    def decide(matrix: Matrix) -> Any:
        scores = matrix @ transposed + intercept
        return scores.reshape(-1) if not is_regressor and scores.ndim > 1 and scores.shape[1] == 1 else scores

    if is_regressor or method == "decision_function":
        return decide
    classes = last.classes_
    if method == "predict":
        return lambda matrix: classes.take(_places(decide(matrix)), axis=0)
    return _probabilities(decide) if method == "predict_proba" and len(classes) == 2 else None


def _probabilities(decide: DirectCall) -> DirectCall:
    from scipy.special import expit  # noqa: PLC0415 - loaded by scikit-learn

    def predict(matrix: Matrix) -> Any:
        scores = decide(matrix)
        expit(scores, out=scores)
        return np.stack([1 - scores, scores], axis=1)

    return predict


def _places(scores: Any) -> Any:
    return (scores > 0).astype(np.int64) if scores.ndim == 1 else np.argmax(scores, axis=1)


def _is_of(step: Any, package: str, names: frozenset[str] | set[str]) -> bool:
    return type(step).__module__.startswith(package) and type(step).__qualname__ in names


def _in_type(shifts: list[tuple[Any, Any]], kind: Any) -> list[tuple[Any, Any]]:
    return [tuple(None if part is None else part.astype(kind) for part in pair) for pair in shifts]  # type: ignore[misc]
