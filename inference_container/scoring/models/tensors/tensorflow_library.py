"""Configures TensorFlow, and has the code that both of its formats share."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contract.catalog.model_spec import ModelSpec
from scoring.device import find_device
from scoring.errors import ModelError
from scoring.models.adaptive_batches import AdaptiveModel
from scoring.models.tensors.tensor_model import Array, Inputs, TensorInput, TensorModel, Tensors

# TensorFlow reads these variables on import: log errors only, and run Keras on TensorFlow despite
# any configuration file.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
# No oneDNN, whose results vary with the order of computation: every attempt must give the same
# predictions.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
if find_device() == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf

# The budget's threads predict whole batches concurrently, so one call uses one thread: the caller's
# (-1).
_GPUS = tf.config.list_physical_devices("GPU")
with contextlib.suppress(RuntimeError):  # custom code of another model has already initialized TensorFlow
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(-1)
    for gpu in _GPUS:
        # Otherwise the first worker allocates all of the GPU's memory.
        tf.config.experimental.set_memory_growth(gpu, True)
if find_device() == "cuda" and not _GPUS:
    sys.stderr.write("there is a GPU, but this image's TensorFlow cannot use it: scoring on the CPU\n")


def tensor_model(spec: ModelSpec, specs: Sequence[Any], run: Any, native: Any) -> AdaptiveModel:
    """Wrap a concrete function as a loaded model.

    Args:
        specs: The TensorSpecs of the inputs.
        run: The function; takes keyword arguments named as in `specs`.
        native: The library's loaded object, which owns the function's variables.
    """
    inputs = [_input(spec, item) for item in specs]
    names = {item.name: item.name for item in inputs}
    kinds = {item.name: item.dtype for item in specs}

    def call(tensors: Tensors) -> Mapping[str, Array]:
        given = tensors if isinstance(tensors, dict) else {inputs[0].name: tensors}
        found = run(**{names[name]: tf.constant(array, kinds[name]) for name, array in given.items()})
        return _outputs(spec, found)

    # One batch at a time on a GPU, because concurrent batches would multiply its memory.
    return AdaptiveModel(TensorModel(spec, Inputs(spec, inputs), call, concurrent=not _GPUS, native=native))


def _input(spec: ModelSpec, item: Any) -> TensorInput:
    dtype = np.dtype(object) if item.dtype == tf.string else np.dtype(_numpy(spec, item.dtype))
    shape = None if item.shape.rank is None else tuple(item.shape.as_list())
    return TensorInput(str(item.name), shape, dtype)


def _numpy(spec: ModelSpec, dtype: Any) -> Any:
    if dtype in (tf.bfloat16, tf.float16):
        return np.float32
    found = dtype.as_numpy_dtype
    if np.dtype(found).kind not in "fiub":
        raise ModelError(f"model {spec.model_id!r}: it takes {dtype.name}, expected numbers, booleans or text")
    return found


def _outputs(spec: ModelSpec, found: Any) -> dict[str, Array]:
    """Return the outputs by name; a single output is named ''."""
    if not isinstance(found, Mapping):
        items = list(found) if isinstance(found, (tuple, list)) else [found]
        found = {str(number): item for number, item in enumerate(items)}
    if not all(isinstance(item, tf.Tensor) for item in found.values()):
        raise ModelError(
            f"model {spec.model_id!r}: it returns something other than dense tensors: export it with dense outputs"
        )
    arrays = {str(name): _array(item) for name, item in found.items()}
    return dict(zip([""], arrays.values(), strict=True)) if len(arrays) == 1 else arrays


def _array(item: Any) -> Array:
    if item.dtype in (tf.bfloat16, tf.float16):
        item = tf.cast(item, tf.float32)
    array: Array = item.numpy()
    return array
