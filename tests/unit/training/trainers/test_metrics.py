"""Each metric has the value that scikit-learn computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from contract.training.training_spec import METRICS, metrics_of
from scoring.errors import DataError
from training.trainers.metrics import evaluate


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200), st.sampled_from([2, 10, 1_000]))
def test_binary_metrics_match_scikit_learn(seed: int, rows: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate(([0, 1], random.integers(0, 2, rows - 2)))
    second = random.integers(0, steps + 1, rows) / steps  # includes equal scores, 0 and 1
    found = evaluate("binary", truth, np.column_stack((1 - second, second)))
    chosen = second > 0.5
    assert found == pytest.approx(
        {
            "auc": reference.roc_auc_score(truth, second),
            "average_precision": reference.average_precision_score(truth, second),
            "f1": reference.f1_score(truth, chosen, zero_division=0.0),
            "logloss": reference.log_loss(truth, second),
            "accuracy": reference.accuracy_score(truth, chosen),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, chosen),
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 200))
def test_multiclass_metrics_match_scikit_learn(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate(([0, 1, 2], random.integers(0, 3, rows - 3)))
    probabilities = random.dirichlet([1, 1, 1], rows)
    found = evaluate("multiclass", truth, probabilities)
    chosen = probabilities.argmax(axis=1)
    assert found == pytest.approx(
        {
            "f1_macro": reference.f1_score(truth, chosen, average="macro", zero_division=0.0),
            "logloss": reference.log_loss(truth, probabilities),
            "accuracy": reference.accuracy_score(truth, chosen),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, chosen),
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200))
def test_regression_metrics_match_scikit_learn(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(5, 3, rows)
    predicted = truth + random.normal(0, 1, rows)
    assert evaluate("regression", truth, predicted) == pytest.approx(
        {
            "rmse": reference.root_mean_squared_error(truth, predicted),
            "mae": reference.mean_absolute_error(truth, predicted),
            "r2": reference.r2_score(truth, predicted),
        }
    )


def test_a_metric_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="the held-out rows give no number for auc"):
        evaluate("binary", np.zeros(3), np.full((3, 2), 0.5))
    with pytest.raises(DataError, match="rmse, mae, r2"):
        evaluate("regression", np.arange(3.0), np.array([1.0, np.nan, 2.0]))


def test_a_better_model_moves_each_metric_in_its_direction() -> None:
    truth, value = np.array([0, 1, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0, 6.0])
    good, bad = np.array([0.1, 0.9, 0.2, 0.8, 0.7]), np.array([0.9, 0.1, 0.2, 0.8, 0.3])
    three = np.eye(3)[[0, 1, 2]] * 0.8 + 0.05
    for task, better, worse in (
        ("binary", (truth, np.column_stack((1 - good, good))), (truth, np.column_stack((1 - bad, bad)))),
        ("multiclass", (np.arange(3), three), (np.arange(3), three[::-1])),
        ("regression", (value, value + 0.1), (value, value[::-1])),
    ):
        high, low = evaluate(task, *better), evaluate(task, *worse)  # type: ignore[arg-type]
        for name in metrics_of(task):
            assert (high[name] > low[name]) is METRICS[name].greater_is_better, name
