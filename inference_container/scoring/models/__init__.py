"""Loaders by declared format. Nothing guesses: the record says what the artifact holds, and only that is tried."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.spec import ModelFormat, ModelSpec
from scoring.errors import ModelError, ScoringError, one_line
from scoring.features import FeatureBatch

_LOADERS: dict[ModelFormat, str] = {
    "sklearn-joblib": "scoring.models.sklearn_joblib",
    "xgboost-json": "scoring.models.xgboost_booster",
    "xgboost-ubj": "scoring.models.xgboost_booster",
    "xgboost-sklearn-json": "scoring.models.xgboost_wrapper",
    "xgboost-sklearn-ubj": "scoring.models.xgboost_wrapper",
}


class LoadedModel(Protocol):
    """A model that is ready to predict.

    It may have one more attribute, `holds_gil` (bool, False where it is missing): its predict keeps Python's global
    lock, so that threads beside each other gain nothing, and the job gets a worker process a core instead.
    """

    @property
    def outputs(self) -> tuple[pa.Field, ...]:
        """The prediction columns."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call `predict` at the same time."""

    def predict(self, batch: FeatureBatch) -> Any:
        """An array of rows, or rows by outputs. Raises whatever the model's library raises."""


def threads_help(model: LoadedModel) -> bool:
    """Whether several threads of one process score faster than one."""
    return model.concurrent and not getattr(model, "holds_gil", False)


def preload(formats: Iterable[ModelFormat]) -> None:
    """Import the libraries that the formats need and no other: they dominate the start of a job."""
    # scikit-learn first: XGBoost binds to it at import, but only where it is wanted anyway (see xgboost_library).
    for name in sorted({_LOADERS[declared] for declared in formats}):
        importlib.import_module(name)


def load_model(spec: ModelSpec, path: Path) -> LoadedModel:
    """Load a model file of a verified artifact and hold it against its record.

    Raises ModelError or ConfigurationError.
    """
    try:
        loaded: LoadedModel = importlib.import_module(_LOADERS[spec.format]).load(spec, path)
    except ScoringError:
        raise
    # Unpickling runs code of the model, which may even call sys.exit.
    except BaseException as error:
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} cannot be loaded as {spec.format} ({one_line(error)}): "
            f"check the record's format, and that this image reads its version{_trained_with(spec)}"
        ) from error
    return loaded


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
