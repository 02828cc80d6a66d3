"""Loads `.keras` files of Keras 3; predictions are the model's outputs in inference mode."""

import tempfile
from pathlib import Path
from typing import Any

# First, because it sets Keras's backend.
import scoring.models.tensors.tensorflow_library as library

import keras  # isort: skip
import tensorflow as tf

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError, one_line
from scoring.models.adaptive_batches import AdaptiveModel
from scoring.models.tensors.keras_zip import zip_problem

_REMEDY = (
    "save it as a SavedModel, which holds the computation and not the classes: model.export(folder), then register it "
    "with format 'tensorflow-savedmodel'"
)


def load(spec: ModelSpec, path: Path) -> AdaptiveModel:
    if problem := zip_problem(path):
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} {problem}: save it again with model.save, or {_REMEDY}"
        )
    try:
        # Safe mode runs no Python code from the file, such as Lambda layers.
        model = keras.saving.load_model(_with_suffix(path), compile=False, safe_mode=True)
    except (ValueError, TypeError) as error:
        text = str(error)
        if "safe_mode" in text or "unsafe_deserialization" in text:
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} has a Lambda layer or other Python code in it, which is "
                f"not run: {_REMEDY}"
            ) from error
        if "Could not locate" in text or "could not be deserialized" in text:
            reason = text[text.rfind("Could not locate") :].partition(". ")[0] if "Could not locate" in text else ""
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} has custom layers or functions "
                f"({reason or one_line(error)[:200]}), whose code is not in the file: {_REMEDY}"
            ) from error
        raise
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} does not declare its inputs: build it as a functional or "
            f"Sequential model with keras.Input, or {_REMEDY}"
        )
    specs = [tf.TensorSpec(item.shape, item.dtype, _input_name(item)) for item in inputs]
    return library.tensor_model(spec, specs, _function(model, specs), model)


def _function(model: Any, specs: list[Any]) -> Any:
    """Compile the model to one graph.

    Run layer by layer, it would hold the interpreter lock most of the time.
    """
    structure = model.input if len(specs) > 1 else None

    def predict(**tensors: Any) -> Any:
        ordered = [tensors[item.name] for item in specs]
        given: Any = ordered[0] if structure is None else tf.nest.pack_sequence_as(structure, ordered)
        return model(given, training=False)

    return tf.function(predict, autograph=False).get_concrete_function(**{item.name: item for item in specs})


def _input_name(item: Any) -> str:
    return str(item.name)


def _with_suffix(path: Path) -> Path:
    """Link the file under a name with the suffix that Keras requires, in a folder of its own.

    The folder of the artifact cannot be written.
    """
    if path.suffix == ".keras":
        return path
    named = Path(tempfile.mkdtemp()) / f"{path.name}.keras"
    named.symlink_to(path.resolve())
    return named
