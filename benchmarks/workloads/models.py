"""The models of the benchmarks, trained with a seed on a sample of the workload's data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TRAINING_ROWS = 20_000
FLEET_TRAINING_ROWS = 2_000
"""Fewer rows for each model of a fleet, because there are a thousand of them."""


@dataclass(frozen=True)
class ModelKind:
    """One kind of model: how to train it, and its format for Fleetscore.

    All other contenders load `model.joblib`, as the article's loop does.
    """

    name: str
    title: str
    format: str
    file: str
    make: Callable[[int], Any]


def _light(seed: int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def _xgboost(seed: int) -> Any:
    import xgboost  # noqa: PLC0415 - import only the library that the benchmark needs

    return xgboost.XGBClassifier(n_estimators=500, max_depth=6, learning_rate=0.05, random_state=seed)


def _small_xgboost(seed: int) -> Any:
    import xgboost  # noqa: PLC0415

    return xgboost.XGBClassifier(n_estimators=20, max_depth=3, random_state=seed)


def _hist(seed: int) -> Any:
    return HistGradientBoostingClassifier(max_iter=200, random_state=seed)


def _lightgbm(seed: int) -> Any:
    import lightgbm  # noqa: PLC0415

    return lightgbm.LGBMClassifier(n_estimators=500, random_state=seed, verbose=-1)


def _forest(seed: int) -> Any:
    return RandomForestClassifier(n_estimators=200, max_depth=12, random_state=seed, n_jobs=1)


def _network(seed: int) -> Any:
    network = MLPClassifier(hidden_layer_sizes=(32, 16), max_iter=20, random_state=seed)
    return make_pipeline(StandardScaler(), network)


KINDS = {
    kind.name: kind
    for kind in (
        ModelKind("light", "logistic regression", "sklearn-joblib", "model.joblib", _light),
        ModelKind("xgboost", "XGBoost, 500 trees", "xgboost-sklearn-ubj", "model.ubj", _xgboost),
        ModelKind("small-xgboost", "XGBoost, 20 trees", "xgboost-sklearn-ubj", "model.ubj", _small_xgboost),
        ModelKind("hist", "HistGradientBoosting, 200 trees", "sklearn-joblib", "model.joblib", _hist),
        ModelKind("lightgbm", "LightGBM, 500 trees", "sklearn-joblib", "model.joblib", _lightgbm),
        ModelKind("forest", "random forest, 200 trees", "sklearn-joblib", "model.joblib", _forest),
        ModelKind("network", "neural network, 32 + 16", "sklearn-joblib", "model.joblib", _network),
    )
}


def train(kind: ModelKind, seed: int, features: Any, labels: Any, folder: Path) -> None:
    """Train a model and write `model.joblib` and, if its format has another, Fleetscore's file."""
    model = kind.make(seed).fit(features, labels)
    folder.mkdir(parents=True, exist_ok=True)
    # Saved as trained, with its number of threads, because the article's loop loads it like this.
    joblib.dump(model, folder / "model.joblib")
    if kind.file != "model.joblib":
        model.save_model(folder / kind.file)


def labels_of(matrix: Any, seed: int) -> Any:
    """Return labels from which both trees and linear models can learn."""
    random = np.random.default_rng(seed)
    score = matrix[:, 0] + np.sin(2 * matrix[:, 1]) - matrix[:, 2] * (matrix[:, 3] > 0)
    return (score + random.normal(0, 0.5, len(matrix)) > 0).astype(np.int64)
