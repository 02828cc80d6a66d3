"""The metrics of the contract, computed with NumPy, because importing scikit-learn takes seconds.

Tests compare each with scikit-learn's.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from contract.training.training_spec import Task, metrics_of
from scoring.errors import DataError

Array = npt.NDArray[Any]


def evaluate(task: Task, truth: Array, predicted: Array) -> dict[str, float]:
    """Return every metric of a task.

    For a regression `truth` and `predicted` are values. For classes `truth` has class numbers from
    0, and `predicted` has probabilities of shape (rows, classes). Raises DataError if a metric is
    not a finite number.
    """
    values = _regression(truth, predicted) if task == "regression" else _classes(task, truth, predicted)
    # A metric without a value, such as the AUC of one class, must never reach a promotion rule.
    wrong = [name for name in metrics_of(task) if not np.isfinite(values[name])]
    if wrong:
        raise DataError(
            f"the held-out rows give no number for {', '.join(wrong)}: they have too few rows or classes, or the model "
            "diverged; add rows, or use another seed or milder hyperparameters"
        )
    return {name: float(values[name]) for name in metrics_of(task)}


def _regression(truth: Array, predicted: Array) -> dict[str, float]:
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    errors = predicted - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    squared = float(np.sum(errors**2))
    constant = 1.0 if squared == 0.0 else 0.0
    return {
        "rmse": float(np.sqrt(squared / len(truth))),
        "mae": float(np.mean(np.abs(errors))),
        "r2": 1.0 - squared / spread if spread else constant,
    }


def _classes(task: Task, truth: Array, predicted: Array) -> dict[str, float]:
    truth = truth.astype(np.int64)
    probabilities = predicted.astype(np.float64)
    count = probabilities.shape[1]
    chosen = (probabilities[:, 1] > 0.5).astype(np.int64) if task == "binary" else probabilities.argmax(axis=1)
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (truth, chosen), 1)
    right, actual, named = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = (actual + named) > 0
    f1 = 2 * right[present] / (actual + named)[present]
    smallest = np.finfo(predicted.dtype).eps
    own = np.clip(probabilities[np.arange(len(truth)), truth], smallest, 1.0)
    values = {
        "logloss": float(-np.mean(np.log(own))),
        "accuracy": float(right.sum() / len(truth)),
        "balanced_accuracy": float(np.mean(right[actual > 0] / actual[actual > 0])),
    }
    if task == "multiclass":
        return {**values, "f1_macro": float(np.mean(f1))}
    positive = truth == 1
    second = actual[1] + named[1]
    return {
        **values,
        "f1": float(2 * right[1] / second) if second else 0.0,
        "auc": _auc(positive, probabilities[:, 1]),
        "average_precision": _average_precision(positive, probabilities[:, 1]),
    }


def _auc(positive: Array, scores: Array) -> float:
    """Compute the AUC from ranks; equal scores share their mean rank."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(ranks[places][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def _average_precision(positive: Array, scores: Array) -> float:
    positives = int(positive.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(positive[order])
    last_of_score = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = found[last_of_score] / (last_of_score + 1)
    recall = found[last_of_score] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
