"""Loads models by the format that their record declares; no other format is tried."""

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
from scoring.errors import (
    MORE_ROOM,
    ConfigurationError,
    ModelError,
    ScoringError,
    describe_error,
    is_disk_full,
    one_line,
)
from scoring.models.custom_code import note_ignored_code
from scoring.models.missing_classes import explain_missing_class
from scoring.models.times import check_zones
from scoring.models.versions import captured_warnings, check_pinned_version, summarize_notes, version_hint

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

    Optional `categories` are those that the model stores: other values are bad rows, or are counted.
    Four further optional attributes default to False. `holds_gil`: `predict` holds Python's global
    interpreter lock, so the job gets a worker process per core instead of threads.
    `high_call_overhead`: a call has a high cost apart from its rows, so the model gets batches of
    twice the size; a `batch_size_factor` is another factor. `rows_are_independent`: a row's
    prediction depends on no other row of the call, so rows
    of several objects may be predicted together.
    """

    notes: tuple[str, ...]
    """Remarks on loading, such as the library's warnings; filled in by `load_model`."""

    @property
    def native(self) -> Any:
        """The library's object, for custom code that predicts with it; None if there is none."""

    @property
    def outputs(self) -> tuple[pa.Field, ...]:
        """The prediction columns."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call `predict` concurrently."""

    def predict(self, batch: FeatureBatch) -> Any:
        """Return an array of rows, or rows by outputs; raises the library's errors."""


def threads_help(model: LoadedModel) -> bool:
    """Return whether several threads of a process score faster than one."""
    return model.concurrent and not getattr(model, "holds_gil", False)


def batch_size_factor(model: LoadedModel) -> int:
    """Return the multiplier on the default batch size for this model."""
    default = 2 if getattr(model, "high_call_overhead", False) else 1
    return int(getattr(model, "batch_size_factor", default))


def rows_are_independent(model: LoadedModel) -> bool:
    """Return whether rows of several objects may be predicted in one call."""
    return bool(getattr(model, "rows_are_independent", False))


def preload(formats: Iterable[ModelFormat]) -> None:
    """Import only the libraries that the formats need, because imports dominate the start of a job.

    Raises:
        ConfigurationError: The image lacks one of them.
    """
    # scikit-learn and custom code, which may need it, come first: XGBoost and LightGBM bind to
    # scikit-learn only if it is imported before them (see lazy_imports).
    for declared in sorted(
        set(formats), key=lambda declared: (not declared.startswith(("sklearn", "custom")), declared)
    ):
        loader_of(declared)


def load_model(spec: ModelSpec, path: Path) -> LoadedModel:
    """Load a model file of a verified artifact and check it against its record.

    Raises:
        ModelError: The file cannot be loaded, or contradicts the record.
        ConfigurationError: The image lacks what the model needs.
    """
    check_zones(spec)
    loader = loader_of(loader_format(spec))
    pinned = check_pinned_version(spec)
    with captured_warnings() as captured:
        try:
            loaded: LoadedModel = loader.load(spec, path)
        except ScoringError:
            raise
        # BaseException: unpickling runs code of the model, which may even call sys.exit.
        except BaseException as error:
            if is_disk_full(error):
                raise ConfigurationError(
                    f"model {spec.model_id!r}: no room to load it ({describe_error(error)}): {MORE_ROOM}"
                ) from error
            why = explain_missing_class(error) or (
                f"check the record's format, and that this image reads its version{version_hint(spec)}"
            )
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} cannot be loaded as {spec.format} ({one_line(error)}): "
                f"{why}"
            ) from error
    notes = [*pinned, *note_ignored_code(spec, path), *getattr(loaded, "notes", ())]
    model = with_adaptive_batches(loaded)
    model.notes = summarize_notes(notes, captured)
    return model


def with_adaptive_batches(model: LoadedModel) -> LoadedModel:
    """Wrap a model on a GPU, whose memory is smaller and shared, so that its batches adapt."""
    if find_device() == "cpu":
        return model
    from scoring.models.adaptive_batches import AdaptiveModel  # noqa: PLC0415 - circular import

    return model if isinstance(model, AdaptiveModel) else AdaptiveModel(model)


def loader_format(spec: ModelSpec) -> ModelFormat:
    """Return the format whose loader loads a model.

    Custom code's loader may call that of the declared format.
    """
    return "custom" if spec.custom_code else spec.format


def loader_of(declared: ModelFormat) -> Any:
    """Import the module that loads models of a format.

    Raises:
        ConfigurationError: The image lacks its library.
    """
    try:
        return importlib.import_module(_LOADERS[declared])
    except ImportError as error:
        raise ConfigurationError(missing_library(declared, error)) from error


def missing_library(declared: ModelFormat, error: ImportError) -> str:
    """Return the message for an image that lacks the library of a format."""
    image = image_of(FRAMEWORK_OF_FORMAT[declared])
    return (
        f"format {declared!r} needs {error.name or one_line(error)}, which is not installed here: it is in the image "
        f"{image!r}; deploy that one (setting image_variants), or install the library where this runs"
    )


def check_features(spec: ModelSpec, trained_names: Sequence[str] | None, trained_count: int | None) -> None:
    """Compare the record's features with those that the model says it was trained on.

    Raises:
        ModelError: They differ; the message names the differences.
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
    lists = [feature.name for feature in spec.features if feature.is_list]
    if trained is not None and lists:
        raise ModelError(
            f"model {spec.model_id!r}: it was trained on a column per feature name, and its record declares {lists} as "
            "lists, which are several columns: declare a feature per column, or use custom code"
        )
    width = sum(feature.width for feature in spec.features)
    if trained_count is not None and trained_count != width:
        inputs = f" with {width:,} values" if lists else ""
        raise ModelError(
            f"model {spec.model_id!r}: its record has {len(names)} features{inputs}, it was trained on "
            f"{trained_count}: correct features in the record"
        )
