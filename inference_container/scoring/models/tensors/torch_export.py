"""Loads programs written by `torch.export.save`; predictions are the program's outputs."""

from pathlib import Path
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError
from scoring.models.adaptive_batches import AdaptiveModel
from scoring.models.tensors.tensor_model import TensorInput
from scoring.models.tensors.torch_library import check_file, numpy_dtype, tensor_model, torch_device


def load(spec: ModelSpec, path: Path) -> AdaptiveModel:
    check_file(spec, path)
    device = torch_device()
    # As an open file, because a path would need the suffix .pt2.
    with path.open("rb") as file:
        program = torch.export.load(file)
    program = move_to_device_pass(program, device)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    taken = [(name, values.get(name)) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    tensors = [(name, value) for name, value in taken if isinstance(value, torch.Tensor)]
    if len(tensors) != len(program.graph_signature.user_inputs) or program.call_spec.in_spec is None:
        raise ModelError(
            f"model {spec.model_id!r}: it takes {list(program.graph_signature.user_inputs)}, expected tensors only: "
            "export a module whose forward takes tensors"
        )
    inputs = [TensorInput(name, _shape(value), numpy_dtype(value.dtype)) for name, value in tensors]
    kinds = {value.dtype for _, value in tensors}
    # Inputs of several types are used as NumPy gives them.
    dtype = kinds.pop() if len(kinds) == 1 else None
    max_rows = _max_rows(program, [value for _, value in tensors])
    return tensor_model(spec, inputs, program.module(), device, dtype=dtype, max_rows=max_rows)


def _shape(value: Any) -> tuple[int | None, ...]:
    # An arbitrary size is a symbol.
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _max_rows(program: Any, tensors: list[Any]) -> int | None:
    """Return the most rows that the program accepts (`Dim(max=...)`); None means no limit."""
    sizes = [value.shape[0] for value in tensors if not isinstance(value.shape[0], int)]
    bounds = [program.range_constraints.get(size.node.expr) for size in sizes]
    return min((int(bound.upper) for bound in bounds if bound is not None and bound.upper.is_Integer), default=None)
