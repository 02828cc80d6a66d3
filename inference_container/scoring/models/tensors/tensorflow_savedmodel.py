"""Loads TensorFlow SavedModels.

`model_file` is the path of `saved_model.pb`, and predictions are the outputs of the signature.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError
from scoring.models.adaptive_batches import AdaptiveModel
from scoring.models.tensors.tensorflow_library import tensor_model

_FILE = "saved_model.pb"
_SIGNATURE = "serving_default"


def load(spec: ModelSpec, path: Path) -> AdaptiveModel:
    if path.name != _FILE:
        raise ModelError(
            f"model {spec.model_id!r}: model_file is {spec.model_file!r}, expected the path of {_FILE} in the archive, "
            f"next to the folder variables/, such as '1/{_FILE}'; correct model_file in the record"
        )
    # Not with Keras, which would need the code of custom layers; the graph is complete.
    saved = tf.saved_model.load(str(path.parent))
    run = _signature(spec, saved.signatures)
    _, named = run.structured_input_signature
    return tensor_model(spec, [_named(name, item) for name, item in named.items()], run, saved)


def _signature(spec: ModelSpec, signatures: Any) -> Any:
    names = sorted(signatures)
    if _SIGNATURE in names:
        return signatures[_SIGNATURE]
    if len(names) == 1:
        return signatures[names[0]]
    raise ModelError(
        f"model {spec.model_id!r}: it has the signatures {names}, expected {_SIGNATURE!r} or a single one: save it "
        "with Keras's model.export(folder), or tf.saved_model.save(..., signatures={'serving_default': ...})"
    )


def _named(name: str, item: Any) -> Any:
    return tf.TensorSpec(item.shape, item.dtype, name)
