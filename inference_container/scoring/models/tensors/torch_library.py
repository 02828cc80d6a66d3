"""Configures PyTorch, and has the code that both of its formats share."""

import contextlib
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contract.catalog.model_spec import ModelSpec
from scoring.device import Device, find_device
from scoring.errors import ModelError
from scoring.models.adaptive_batches import AdaptiveModel, BatchLimit
from scoring.models.tensors.tensor_model import Array, Inputs, TensorInput, TensorModel, Tensors

# A .pt2 file may hold pickles, which PyTorch would execute as a fallback; only the model's graph
# may run.
os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")

import torch

# The budget's threads predict whole batches concurrently, so one call uses one thread.
torch.set_num_threads(1)
with contextlib.suppress(RuntimeError):  # custom code of another model has already initialized PyTorch
    torch.set_num_interop_threads(1)

_REMEDY = (
    "export it: torch.export.save(torch.export.export(model.eval(), (example,), dynamic_shapes=({0: "
    "torch.export.Dim('rows')},)), 'model.pt2') for format 'pytorch-export', or torch.jit.script(model.eval())"
    ".save('model.pt') for 'torchscript'"
)


def torch_device() -> Device:
    """Return the GPU if there is one that this PyTorch can use, else the CPU."""
    if find_device() == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        sys.stderr.write("there is a GPU, but this image's PyTorch cannot use it: scoring on the CPU\n")
        return "cpu"
    return "cuda"


def check_file(spec: ModelSpec, path: Path) -> None:
    """Check a file's format by its contents before PyTorch opens it.

    Raises:
        ModelError: It is not the format in the record.
    """
    found = _kind(path)
    if found == "pickle":
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} is a pickle of torch.save, which is code and needs the "
            f"model's own classes: {_REMEDY}"
        )
    if found not in ("", spec.format):
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} is not {spec.format}, it looks like {found}: correct format "
            "in the model's record"
        )


def _kind(path: Path) -> str:
    """Return the format that a file's contents indicate; empty if unknown."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return "pickle" if file.read(1) == b"\x80" else ""
    with zipfile.ZipFile(path) as archive:
        # All entries are in one folder, named like the original file.
        names = {name.partition("/")[2] for name in archive.namelist()}
    if names & {"archive_format", "models/model.json"} or "serialized_exported_program.json" in archive.namelist():
        return "pytorch-export"
    if "constants.pkl" in names:
        return "torchscript"
    return "pickle" if "data.pkl" in names else ""


def tensor_model(
    spec: ModelSpec,
    inputs: list[TensorInput],
    run: Callable[..., Any],
    device: Device,
    *,
    dtype: "torch.dtype | None" = None,
    max_rows: int | None = None,
) -> AdaptiveModel:
    """Wrap a module as a loaded model.

    Args:
        run: The module; takes the inputs in their order.
        dtype: The inputs' type if NumPy may lack it; None means that of the arrays.
        max_rows: Most rows per call; None means no limit.
    """
    order = [item.name for item in inputs]

    def tensor(array: Array) -> "torch.Tensor":
        made = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        return made if dtype is None else made.to(dtype)

    def call(tensors: Tensors) -> Mapping[str, Array]:
        with torch.inference_mode():
            given = [tensors[name] for name in order] if isinstance(tensors, dict) else [tensors]
            return _outputs(spec, run(*map(tensor, given)))

    # One batch at a time on a GPU, because concurrent batches would multiply its memory.
    model = TensorModel(spec, Inputs(spec, inputs), call, concurrent=device == "cpu", native=run)
    limit = None if max_rows is None else BatchLimit(max_rows, too_many=max_rows + 1, fitted=max_rows)
    return _OnGpu(model, limit) if device == "cuda" else AdaptiveModel(model, limit)


class _OnGpu(AdaptiveModel):
    def release_memory(self) -> None:
        torch.cuda.empty_cache()


def numpy_dtype(dtype: "torch.dtype") -> "np.dtype[Any]":
    """Return NumPy's type; float32 for half precision, because NumPy has no bfloat16."""
    if dtype in (torch.float16, torch.bfloat16):
        return np.dtype(np.float32)
    found: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
    return found


def _outputs(spec: ModelSpec, found: Any) -> dict[str, Array]:
    """Return the outputs by name.

    A single tensor is named '', a tuple's tensors by number, a dict's by key.
    """
    if isinstance(found, torch.Tensor):
        found = {"": found}
    elif isinstance(found, (tuple, list)):
        found = {"" if len(found) == 1 else str(number): item for number, item in enumerate(found)}
    if not isinstance(found, Mapping) or not all(isinstance(item, torch.Tensor) for item in found.values()):
        raise ModelError(
            f"model {spec.model_id!r}: it returns {type(found).__name__}, expected a tensor, or a tuple or dict of "
            "tensors: let its forward return these"
        )
    return {str(name): _to_numpy(item) for name, item in found.items()}


def _to_numpy(tensor: "torch.Tensor") -> Array:
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    array: Array = tensor.detach().cpu().numpy()
    return array
