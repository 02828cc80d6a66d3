"""Loads TorchScript programs written by `torch.jit.save`."""

from pathlib import Path

import numpy as np
import torch

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError
from scoring.models.adaptive_batches import AdaptiveModel
from scoring.models.tensors.tensor_model import TensorInput
from scoring.models.tensors.torch_library import check_file, numpy_dtype, tensor_model, torch_device


def load(spec: ModelSpec, path: Path) -> AdaptiveModel:
    check_file(spec, path)
    device = torch_device()
    module = torch.jit.load(str(path), map_location=device)
    module.eval()
    arguments = [item for item in module.forward.schema.arguments[1:] if not item.has_default_value()]
    if len(arguments) != 1:
        # The file has no shapes, so it does not say which inputs are vectors and which matrices.
        raise ModelError(
            f"model {spec.model_id!r}: its forward takes {[item.name for item in arguments]}, expected one matrix of "
            "rows by features: wrap it in a module that takes one, or use format 'pytorch-export'"
        )
    floats = (item.dtype for item in [*module.parameters(), *module.buffers()] if item.dtype.is_floating_point)
    dtype = next(floats, torch.float32)
    given = numpy_dtype(dtype)
    inputs = [TensorInput(arguments[0].name, None, np.dtype(given))]
    return tensor_model(spec, inputs, module, device, dtype=dtype)
