"""Loaders by declared format. Nothing guesses: the record says what the artifact holds, and only that is tried."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.images import image_of
from contract.spec import FRAMEWORK_OF_FORMAT, ModelFormat, ModelSpec
from scoring.device import find_device
from scoring.errors import ConfigurationError, ModelError, ScoringError, one_line
from scoring.features import FeatureBatch

_LOADERS: dict[ModelFormat, str] = {
    "sklearn-joblib": "scoring.models.sklearn_joblib",
    "xgboost-json": "scoring.models.xgboost_booster",
    "xgboost-ubj": "scoring.models.xgboost_booster",
    "xgboost-sklearn-json": "scoring.models.xgboost_wrapper",
    "xgboost-sklearn-ubj": "scoring.models.xgboost_wrapper",
    "tensorflow-savedmodel": "scoring.models.tensorflow_savedmodel",
    "keras": "scoring.models.keras_file",
    "pytorch-export": "scoring.models.torch_export",
    "torchscript": "scoring.models.torchscript",
}


class LoadedModel(Protocol):
    """A model that is ready to predict."""

    @property
    def outputs(self) -> tuple[pa.Field, ...]:
        """The prediction columns."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call `predict` at the same time."""

    def predict(self, batch: FeatureBatch) -> Any:
        """An array of rows, or rows by outputs. Raises whatever the model's library raises."""


def preload(formats: Iterable[ModelFormat]) -> None:
    """Import the libraries that the formats need and no other: they dominate the start of a job.

    Raises ConfigurationError where one is not installed.
    """
    # scikit-learn first: XGBoost binds to it at import, but only where it is wanted anyway (see xgboost_library).
    for declared in sorted(set(formats), key=lambda declared: _LOADERS[declared]):
        _loader(declared)


def _loader(declared: ModelFormat) -> Any:
    try:
        return importlib.import_module(_LOADERS[declared])
    except ModuleNotFoundError as error:
        image = image_of(FRAMEWORK_OF_FORMAT[declared])
        raise ConfigurationError(
            f"format {declared!r} needs {error.name}, which is not installed here: it is in the image {image!r}; deploy "
            "that one (setting image_variants), or install the library where this runs"
        ) from error


def load_model(spec: ModelSpec, path: Path) -> LoadedModel:
    """Load a model file of a verified artifact and hold it against its record.

    Raises ModelError or ConfigurationError.
    """
    try:
        loaded: LoadedModel = _loader(spec.format).load(spec, path)
    except ScoringError:
        raise
    # Unpickling runs code of the model, which may even call sys.exit.
    except BaseException as error:
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} cannot be loaded as {spec.format} ({one_line(error)}): "
            f"check the record's format, and that this image reads its version{_trained_with(spec)}"
        ) from error
    return fitted(loaded)


def fitted(model: LoadedModel) -> LoadedModel:
    """The model with batches that fit into a GPU's memory, where there is one: it is smaller, and nobody's own."""
    if find_device() == "cpu":
        return model
    from scoring.models.adaptive import AdaptiveModel  # noqa: PLC0415 - it needs what is above

    return model if isinstance(model, AdaptiveModel) else AdaptiveModel(model)


def check_features(spec: ModelSpec, trained_names: Sequence[str] | None, trained_count: int | None) -> None:
    """Hold the record's features against what the model itself says that it was trained on.

    Raises ModelError naming what differs.
    """
    names = [feature.name for feature in spec.features]
    trained = None if trained_names is None else [str(name) for name in trained_names]
    if trained is not None and names != trained:
        missing = [name for name in trained if name not in names]
        extra = [name for name in names if name not in trained]
        if missing or extra:
            differences = f"the record lacks {missing}" if missing else ""
            differences += " and " if missing and extra else ""
            differences += f"the record has {extra}, which the model does not know" if extra else ""
        else:
            position = next(i for i, pair in enumerate(zip(names, trained, strict=True)) if pair[0] != pair[1])
            differences = (
                f"the order differs: position {position} is {names[position]!r} in the record and "
                f"{trained[position]!r} in the model"
            )
        raise ModelError(
            f"model {spec.model_id!r}: the features in its record are not those that it was trained on: {differences}; "
            "correct features in the record"
        )
    if trained_count is not None and trained_count != len(names):
        raise ModelError(
            f"model {spec.model_id!r}: its record has {len(names)} features, it was trained on {trained_count}: "
            "correct features in the record"
        )


def _trained_with(spec: ModelSpec) -> str:
    return f" (the record says {spec.framework} {spec.framework_version})" if spec.framework_version else ""
