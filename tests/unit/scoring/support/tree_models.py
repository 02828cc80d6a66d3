"""Small models of XGBoost, LightGBM and CatBoost, with missing values in their training."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost

from contract.catalog.model_spec import ModelSpec
from scoring.models import LoadedModel, load_model

TREES: dict[str, dict[str, Any]] = {
    "xgboost": {"framework": "xgboost", "format": "xgboost-ubj", "model_file": "model.ubj"},
    "lightgbm": {"framework": "lightgbm", "format": "lightgbm-text", "model_file": "model.txt"},
    "catboost": {"framework": "catboost", "format": "catboost-cbm", "model_file": "model.cbm"},
}
"""Fields of the record by the library's name."""


def load_trees(library: str, spec: ModelSpec) -> LoadedModel:
    """Return a model of the library that has learned from the record's features."""
    names = tuple(feature.name for feature in spec.features)
    return load_model(replace(spec, **TREES[library]), _saved(library, names))


@functools.cache
def _saved(library: str, names: Sequence[str]) -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random = np.random.default_rng(5)
    rows = random.normal(size=(400, len(names))) * 2
    target = (rows[:, 0] + rows[:, -1] > 0).astype(int)
    rows[random.random(rows.shape) < 0.05] = np.nan
    file = folder / TREES[library]["model_file"]
    if library == "xgboost":
        data = xgboost.DMatrix(rows, target, feature_names=list(names))
        xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 20).save_model(file)
    elif library == "lightgbm":
        settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}
        data = lightgbm.Dataset(rows, target, feature_name=list(names), params=settings)
        lightgbm.train(settings, data, 20).save_model(file)
    else:
        data = catboost.Pool(rows, target, feature_names=list(names))
        settings = {"iterations": 20, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
        catboost.CatBoostClassifier(**settings).fit(data).save_model(str(file))
    return file
