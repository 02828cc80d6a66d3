"""PyTorch, set up for scoring, and the parts that both of its formats share."""

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

# A .pt2 may hold pickles, and PyTorch would fall back to running them: no code but the model's graph.
os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")

import torch

# Whole batches run beside each other on the budget's threads, so one call takes one.
torch.set_num_threads(1)
with contextlib.suppress(RuntimeError):  # custom code of another model has used PyTorch already, and it is too late
    torch.set_num_interop_threads(1)

_WAYS_OUT = (
    "export it: torch.export.save(torch.export.export(model.eval(), (example,), dynamic_shapes=({0: "
    "torch.export.Dim('rows')},)), 'model.pt2') for format 'pytorch-export', or torch.jit.script(model.eval())"
    ".save('model.pt') for 'torchscript'"
)


def torch_device() -> Device:
    """The GPU where there is one that this PyTorch can use, else the CPU."""
    if find_device() == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        sys.stderr.write("there is a GPU, but this image's PyTorch cannot use it: scoring on the CPU\n")
        return "cpu"
    return "cuda"


def check_file(spec: ModelSpec, path: Path) -> None:
    """Refuse what is another kind of PyTorch file than the record says, by its own contents, before it is opened.

    Raises ModelError with the way out.
    """
    found = _kind(path)
    if found == "pickle":
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} is a pickle of torch.save, which is code and needs the "
            f"model's own classes: {_WAYS_OUT}"
        )
    if found not in ("", spec.format):
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} is not {spec.format}, it looks like {found}: correct format "
            "in the model's record"
        )


def _kind(path: Path) -> str:
    """The format that a file's contents speak for; empty when they do not."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return "pickle" if file.read(1) == b"\x80" else ""
    with zipfile.ZipFile(path) as archive:
        # Everything lies below one folder, named like the file that was written.
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
    most_rows: int | None = None,
) -> AdaptiveModel:
    """A module as a loaded model; `run` takes the inputs in their order.

    `dtype` is what the inputs have, which NumPy cannot always give; `most_rows` what one call takes at most.
    """
    order = [item.name for item in inputs]

    def tensor(array: Array) -> "torch.Tensor":
        made = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        return made if dtype is None else made.to(dtype)

    def call(tensors: Tensors) -> Mapping[str, Array]:
        with torch.inference_mode():
            given = [tensors[name] for name in order] if isinstance(tensors, dict) else [tensors]
            return _outputs(spec, run(*map(tensor, given)))

    # One batch at a time on a GPU: several would need the memory of several.
    model = TensorModel(spec, Inputs(spec, inputs), call, concurrent=device == "cpu", native=run)
    limit = None if most_rows is None else BatchLimit(most_rows, too_many=most_rows + 1, fitted=most_rows)
    return _OnGpu(model, limit) if device == "cuda" else AdaptiveModel(model, limit)


class _OnGpu(AdaptiveModel):
    def release_memory(self) -> None:
        torch.cuda.empty_cache()


def numpy_dtype(dtype: "torch.dtype") -> "np.dtype[Any]":
    """What NumPy has for it; single precision for the shorter floats, which it partly lacks."""
    if dtype in (torch.float16, torch.bfloat16):
        return np.dtype(np.float32)
    found: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
    return found


def _outputs(spec: ModelSpec, found: Any) -> dict[str, Array]:
    """The outputs by name: '' for a single tensor, numbers for a tuple, its keys for a dict."""
    if isinstance(found, torch.Tensor):
        found = {"": found}
    elif isinstance(found, (tuple, list)):
        found = {"" if len(found) == 1 else str(number): item for number, item in enumerate(found)}
    if not isinstance(found, Mapping) or not all(isinstance(item, torch.Tensor) for item in found.values()):
        raise ModelError(
            f"model {spec.model_id!r}: it gives {type(found).__name__}, expected a tensor, or a tuple or dict of "
            "tensors: let its forward give such"
        )
    return {str(name): _to_numpy(item) for name, item in found.items()}


def _to_numpy(tensor: "torch.Tensor") -> Array:
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    array: Array = tensor.detach().cpu().numpy()
    return array
