"""Predicts tree models with daal4py (oneDAL), faster but with slightly different numbers.

This happens only if the model's record asks for it. Two checks protect the predictions. A
model is refused unless oneDAL is known to predict its objective as the library does. The first
batch is compared with the library's prediction.
"""

import threading
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import ConfigurationError, ModelError, Reason, one_line
from scoring.models import LoadedModel
from scoring.models.versions import installed_version

TOLERANCE = 1e-5
"""Largest accepted difference: absolute for numbers up to 1, relative for larger ones.

Labels must be equal.
"""

_CHECKED_ROWS = 16_384
_PROBED_ROWS = 4_096

XGBOOST_OBJECTIVES = frozenset(
    {
        "binary:logistic",
        "multi:softprob",
        "multi:softmax",
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
    }
)
"""Objectives that oneDAL predicts as XGBoost does.

It omits the last step of others, such as exponentials.
"""
LIGHTGBM_OBJECTIVES = frozenset({"binary", "multiclass", "regression", "regression_l1", "huber", "fair", "quantile"})

Predict = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def xgboost_predict(spec: ModelSpec, booster: Any, objective: str, trees: int) -> Predict:
    """Return a function that predicts float32 features with the first `trees` trees (0: all)."""
    if objective not in XGBOOST_OBJECTIVES:
        raise _not_for(spec, objective, XGBOOST_OBJECTIVES)
    # The converter has no argument for the number of trees; it reads an attribute of the Booster.
    converted = _convert(spec, _with_trees(booster, trees))
    if objective == "multi:softmax":
        return lambda matrix: np.asarray(converted.predict(matrix), dtype=np.float32)
    if objective == "multi:softprob":
        return lambda matrix: np.asarray(converted.predict_proba(matrix), dtype=np.float32)
    if objective == "binary:logistic":
        return lambda matrix: np.asarray(converted.predict_proba(matrix)[:, 1], dtype=np.float32)
    return lambda matrix: np.asarray(converted.predict(matrix), dtype=np.float32)


def lightgbm_predict(spec: ModelSpec, booster: Any) -> Predict:
    """Return a function from float64 features to the predictions of `Booster.predict`."""
    dumped = booster.dump_model(num_iteration=1)
    objective = str(dumped.get("objective", "")).split(" ", maxsplit=1)[0]
    # "sqrt" after the name squares the prediction; oneDAL omits that.
    transformed = [word for word in str(dumped.get("objective", "")).split(" ")[1:] if word == "sqrt"]
    if objective not in LIGHTGBM_OBJECTIVES or transformed:
        raise _not_for(spec, str(dumped.get("objective", "")), LIGHTGBM_OBJECTIVES)
    converted = _convert(spec, booster)
    if objective == "binary":
        return lambda matrix: np.asarray(converted.predict_proba(matrix)[:, 1])
    if objective == "multiclass":
        return lambda matrix: np.asarray(converted.predict_proba(matrix))
    return lambda matrix: np.asarray(converted.predict(matrix))


class CheckedModel:
    """Predicts with the accelerator, after a comparison with the library on the first batch."""

    concurrent = True

    def __init__(self, spec: ModelSpec, native: LoadedModel, accelerated: LoadedModel) -> None:
        self._spec = spec
        self._reference = native
        self._accelerated = accelerated
        self._lock = threading.Lock()
        self._is_checked = False
        self._refusal: ConfigurationError | None = None
        self.outputs = native.outputs
        self.native = native.native
        note = (
            f"predicted by {spec.accelerator} {_accelerator_version()} in place of {spec.framework} "
            f"{installed_version(spec.framework)}: on the first batch of each worker labels were equal and numbers "
            f"within {TOLERANCE:g} (absolute up to 1, relative above)"
        )
        self.notes: tuple[str, ...] = (note,)

    def predict(self, batch: FeatureBatch) -> Any:
        values = self._accelerated.predict(batch)
        if not self._is_checked:
            with self._lock:
                self._check(batch, values)
        return values

    def _check(self, batch: FeatureBatch, values: Any) -> None:
        if self._is_checked:
            return
        if self._refusal is None:
            self._refusal = self._difference(batch, values)
        if self._refusal is not None:
            raise self._refusal
        self._is_checked = True

    def _difference(self, batch: FeatureBatch, values: Any) -> ConfigurationError | None:
        first = _first_rows(batch, _CHECKED_ROWS)
        expected = self._reference.predict(first)
        found = _compare(expected, values[: first.rows])
        if found is None:
            # Later batches may have missing values even if the first has none.
            probe = _with_nulls(self._spec, _first_rows(batch, _PROBED_ROWS))
            found = _compare(self._reference.predict(probe), self._accelerated.predict(probe))
        if found is None:
            return None
        return ConfigurationError(
            f"model {self._spec.model_id!r}: {self._spec.accelerator} does not predict as {self._spec.framework} does "
            f"({found.text}), so nothing was scored with it: set accelerator to '' in the model's record",
            found.detail,
        )


def _compare(expected: Any, found: Any) -> Reason | None:
    """Describe the differences beyond the tolerance; None if there are none."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return Reason(f"it returns the shape {found.shape}, expected {expected.shape}")
    if expected.dtype.kind != "f":
        different = int((expected != found).sum())
        return Reason(f"{different:,} of {expected.size:,} labels differ") if different else None
    distance = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    # Written so that a NaN in only one of them counts as a difference.
    far = ~(distance <= TOLERANCE) & ~(np.isnan(expected) & np.isnan(found))
    if not far.any():
        return None
    place = np.unravel_index(int(np.argmax(np.where(far, np.nan_to_num(distance, nan=np.inf), -1.0))), far.shape)
    return Reason(
        f"{int(far.sum()):,} of {expected.size:,} numbers differ by more than {TOLERANCE:g}, the most in row "
        f"{int(place[0]):,} of a batch",
        f"{float(found[place]):.8g} instead of {float(expected[place]):.8g}",
    )


def _first_rows(batch: FeatureBatch, rows: int) -> FeatureBatch:
    arrays = tuple(array.slice(0, rows) for array in batch.arrays)
    return FeatureBatch(batch.names, arrays, batch.with_nulls)


def _with_nulls(spec: ModelSpec, batch: FeatureBatch) -> FeatureBatch:
    """Replace every third value of each nullable column by null, in different rows per column."""
    rows = np.arange(batch.rows)
    arrays = []
    for index, (feature, array) in enumerate(zip(spec.features, batch.arrays, strict=True)):
        holes = pa.array((rows + index) % 3 == 0)
        arrays.append(pc.if_else(holes, pa.nulls(1, array.type)[0], array) if feature.nullable else array)
    return FeatureBatch(batch.names, tuple(arrays), frozenset(batch.names))


def _convert(spec: ModelSpec, booster: Any) -> Any:
    try:
        import daal4py  # noqa: PLC0415 - most images do not have it
        from daal4py.mb import convert_model  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"model {spec.model_id!r}: its record asks for accelerator {spec.accelerator!r}, which this image "
            f"lacks ({one_line(error)}): deploy the image 'trees' (setting image_variants), or set accelerator to '' "
            "in the record"
        ) from error
    # One thread per call, because the threads of the budget predict whole batches concurrently.
    daal4py.daalinit(1)
    try:
        return convert_model(booster)
    except (TypeError, NotImplementedError, AttributeError, ValueError) as error:
        raise ModelError(
            f"model {spec.model_id!r}: {spec.accelerator} cannot convert its trees ({one_line(error)}): set "
            "accelerator to '' in the model's record"
        ) from error


def _with_trees(booster: Any, trees: int) -> Any:
    converted = booster.copy()
    converted.set_attr(best_iteration=str(trees - 1) if trees else None)
    return converted


def _not_for(spec: ModelSpec, objective: str, known: frozenset[str]) -> ModelError:
    return ModelError(
        f"model {spec.model_id!r}: {spec.accelerator} does not predict objective {objective!r} as {spec.framework} "
        f"does, only {', '.join(sorted(known))}: set accelerator to '' in the model's record"
    )


def _accelerator_version() -> str:
    for name in ("scikit-learn-intelex", "daal4py"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of an unknown version"
