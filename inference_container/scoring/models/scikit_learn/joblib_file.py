"""Loads scikit-learn estimators and pipelines saved by joblib."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import LoadedModel, check_features
from scoring.models.categories import Categories
from scoring.models.scikit_learn.direct_calls import DirectCall, direct_call
from scoring.models.scikit_learn.library import (
    accepts_matrix,
    ignore_missing_names,
    is_pipeline,
    is_without_own_code,
    iterates_rows,
)
from scoring.models.scikit_learn.outputs import as_matrix, made_up_row, outputs_of
from scoring.models.scikit_learn.tree_wrappers import TreeWrapper
from scoring.models.times import time_notes

_KNOWN_LIBRARIES = frozenset({"sklearn", "xgboost", "lightgbm", "catboost"})


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    return model_of(spec, joblib.load(path))


def model_of(spec: ModelSpec, estimator: Any) -> LoadedModel:
    """Return the loader's model of an estimator, which skops may have read, too.

    Raises:
        ModelError: The estimator contradicts the record.
    """
    if not hasattr(estimator, spec.method):
        raise ModelError(
            f"model {spec.model_id!r}: its {type(estimator).__name__} has no {spec.method}: choose another method "
            "in the model's record"
        )
    if any(base.__module__ == "catboost.core" for base in type(estimator).__mro__):
        from scoring.models.trees.catboost_model import CatBoostModel  # noqa: PLC0415 - few images have it

        # CatBoost's classes lack the attributes that tell features, and take categories as they are.
        return CatBoostModel(spec, estimator, classifier=hasattr(estimator, "predict_proba"))
    return SklearnModel(spec, estimator)


class SklearnModel:
    """An estimator, called with named columns if it was trained on them, else with a matrix."""

    notes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, estimator: Any) -> None:
        self.native = estimator
        trees = TreeWrapper.inside(estimator)
        names = getattr(estimator, "feature_names_in_", None)
        if trees is None or trees.estimator is not estimator:
            check_features(spec, names, getattr(estimator, "n_features_in_", None))
        else:
            names = trees.check_features(spec)
        texts = [feature.name for feature in spec.features if feature.type == "string"]
        if names is None and texts:
            raise ModelError(
                f"model {spec.model_id!r}: it was trained without column names and so takes a matrix of numbers, but "
                f"its record declares {texts} as string: train it on a DataFrame, or encode these columns beforehand"
            )
        self.categories = Categories() if trees is None or names is None else trees.categories(spec)
        self._is_tree_wrapper = trees is not None and trees.estimator is estimator
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
        self._direct: DirectCall | None = None
        sample = None
        if not self._named and self.concurrent:
            width = sum(feature.width for feature in spec.features)
            by_columns = self._without_names and not self._by_rows
            with quiet_calls():
                self._direct, sample = direct_call(estimator, spec.method, width, self._dtype, by_columns=by_columns)
        # The parts of an estimator with a direct call are known.
        known = self._is_tree_wrapper or self._direct is not None
        self.rows_are_independent = known or (self.concurrent and is_without_own_code(estimator))
        sample = self._sample(spec) if sample is None else sample
        self.outputs = output_fields(spec, *outputs_of(spec, estimator, sample))

    def predict(self, batch: FeatureBatch) -> Any:
        return as_matrix(self._call(batch))

    def _sample(self, spec: ModelSpec) -> Any:
        """Return the prediction of a made-up row, which tells the number of columns.

        None if it fails, and for estimators of other libraries: their attributes must tell it, because
        loading a model should not run code of which nobody knows what it does.
        """
        last = _steps(self.native)[-1]
        if type(last).__module__.partition(".")[0] not in _KNOWN_LIBRARIES:
            return None
        try:
            batch = made_up_row(spec, self.categories.values)
            with quiet_calls():
                return self._call(batch)
        # A model need not accept the row, such as an encoder that knows other texts only.
        except Exception:
            return None

    def _call(self, batch: FeatureBatch) -> Any:
        if self._direct is not None:
            matrix = self._matrix(batch)
            values = self._direct(matrix)
            if values is not None:
                return values
        # Sequential, even if the model was trained with n_jobs: the supervisor distributes the
        # cores, and sums over trees in the order in which threads finish would differ between
        # attempts.
        with joblib.parallel_config(backend="sequential"):
            if self._named:
                # Wrappers of XGBoost and LightGBM refuse times in a frame.
                batch = batch.with_times_as_numbers() if self._is_tree_wrapper else batch
                return self._predict(self.categories.frame(batch) if self.categories else batch.frame())
            if self._without_names:
                ignore_missing_names()
            return self._predict(self._matrix(batch))

    def _matrix(self, batch: FeatureBatch) -> Any:
        if self._without_names and not self._by_rows:
            return batch.block(self._dtype)
        return batch.matrix(self._dtype, read_only=self.concurrent)


@contextmanager
def quiet_calls() -> Iterator[None]:
    """Ignore the warnings of calls with made-up rows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _steps(estimator: Any) -> list[Any]:
    if is_pipeline(estimator):
        return [estimator, *(step for _, part in estimator.steps if part is not None for step in _steps(part))]
    return [estimator] if not isinstance(estimator, str) else []
