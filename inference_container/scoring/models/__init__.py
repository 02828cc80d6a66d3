"""Loaders by declared format. Nothing guesses: the record says what the artifact holds, and only that is tried."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.catalog.image_variants import image_of
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, ModelFormat
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.device import find_device
from scoring.errors import ConfigurationError, ModelError, ScoringError, one_line
from scoring.models.custom_code.archived_code import note_ignored_code
from scoring.models.versions import both_versions, check_pinned_version, heard_warnings, sum_up_notes

_LOADERS: dict[ModelFormat, str] = {
    "sklearn-joblib": "scoring.models.scikit_learn.joblib_file",
    "sklearn-skops": "scoring.models.scikit_learn.skops_file",
    "xgboost-json": "scoring.models.trees.xgboost_booster",
    "xgboost-ubj": "scoring.models.trees.xgboost_booster",
    "xgboost-sklearn-json": "scoring.models.trees.xgboost_wrapper",
    "xgboost-sklearn-ubj": "scoring.models.trees.xgboost_wrapper",
    "lightgbm-text": "scoring.models.trees.lightgbm_booster",
    "catboost-cbm": "scoring.models.trees.catboost_model",
    "onnx": "scoring.models.onnx_model",
    "custom": "scoring.models.custom_code.custom_model",
    "tensorflow-savedmodel": "scoring.models.tensors.tensorflow_savedmodel",
    "keras": "scoring.models.tensors.keras_file",
    "pytorch-export": "scoring.models.tensors.torch_export",
    "torchscript": "scoring.models.tensors.torchscript",
}


class LoadedModel(Protocol):
    """A model that is ready to predict.

    It may have two more attributes (bool, False where they are missing). `holds_gil`: its predict keeps Python's global
    lock, so that threads beside each other gain nothing, and the job gets a worker process a core instead.
    `dear_calls`: a call costs much beside its rows, so that it gets larger batches.
    """

    notes: tuple[str, ...]
    """What people must know of how it was loaded: its library's warnings, an accelerator. Filled by `load_model`."""

    @property
    def native(self) -> Any:
        """The library's own object, for custom code that predicts with what we loaded; None where there is no one."""

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


def batches_of_usual_size(model: LoadedModel) -> int:
    """How many of them make one for this model."""
    return 2 if getattr(model, "dear_calls", False) else 1


def preload(formats: Iterable[ModelFormat]) -> None:
    """Import the libraries that the formats need and no other: they dominate the start of a job.

    Raises ConfigurationError when the image lacks one of them.
    """
    # scikit-learn first: XGBoost and LightGBM bind to it at import, but only where it is wanted anyway (see their
    # libraries' modules). Custom code may want it.
    for declared in sorted(
        set(formats), key=lambda declared: (not declared.startswith(("sklearn", "custom")), declared)
    ):
        loader_of(declared)


def load_model(spec: ModelSpec, path: Path) -> LoadedModel:
    """Load a model file of a verified artifact and hold it against its record.

    Raises ModelError or ConfigurationError.
    """
    loader = loader_of(loader_format(spec))
    pinned = check_pinned_version(spec)
    with heard_warnings() as heard:
        try:
            loaded: LoadedModel = loader.load(spec, path)
        except ScoringError:
            raise
        # Unpickling runs code of the model, which may even call sys.exit.
        except BaseException as error:
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} cannot be loaded as {spec.format} ({one_line(error)}): "
                f"check the record's format, and that this image reads its version{both_versions(spec)}"
            ) from error
    notes = [*pinned, *note_ignored_code(spec, path), *getattr(loaded, "notes", ())]
    model = fitted(loaded)
    model.notes = sum_up_notes(spec, notes, heard)
    return model


def fitted(model: LoadedModel) -> LoadedModel:
    """The model with batches that fit into a GPU's memory, where there is one: it is smaller, and nobody's own."""
    if find_device() == "cpu":
        return model
    from scoring.models.adaptive_batches import AdaptiveModel  # noqa: PLC0415 - it needs what is above

    return model if isinstance(model, AdaptiveModel) else AdaptiveModel(model)


def loader_format(spec: ModelSpec) -> ModelFormat:
    """Whose loader a model needs first: custom code's, which asks that of the declared format if it has to."""
    return "custom" if spec.custom_code else spec.format


def loader_of(declared: ModelFormat) -> Any:
    """The module that loads models of a format.

    Raises ConfigurationError when the image lacks its library.
    """
    try:
        return importlib.import_module(_LOADERS[declared])
    except ImportError as error:
        raise ConfigurationError(missing_library(declared, error)) from error


def missing_library(declared: ModelFormat, error: ImportError) -> str:
    """What to do where the image lacks the library of a format."""
    image = image_of(FRAMEWORK_OF_FORMAT[declared])
    return (
        f"format {declared!r} needs {error.name or one_line(error)}, which is not installed here: it is in the image "
        f"{image!r}; deploy that one (setting image_variants), or install the library where this runs"
    )


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
