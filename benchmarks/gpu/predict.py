"""Predicts with one model in this process, through the container's loader, and measures it.

`python -m benchmarks.gpu.predict SPEC MODEL OUT --rows N --batch-rows N` writes the predictions of
`numbers(N)` to `OUT.npy`, and what it measured to `OUT.json`.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from benchmarks.gpu.memory import limited
from benchmarks.gpu.models import FEATURES, FORMATS, numbers
from contract.catalog.model_spec import ModelSpec
from contract.codec import loads
from scoring.columns.features import FeatureBatch
from scoring.device import find_device
from scoring.models import LoadedModel, load_model

_WARM_ROWS = 64


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave", type=int, help="predict all rows as one batch with so many bytes of memory")
    options = parser.parse_args()
    spec = loads(ModelSpec, options.spec.read_bytes())
    model = load_model(spec, options.model)
    device = used_device(spec.format, model)
    found: dict[str, Any] = {**asdict(device), "version": _version(spec.framework)}
    batch = batch_of(numbers(options.rows, options.seed))
    if options.leave:
        values, found["bytes_left"] = _predict_tight(model, batch, options.leave, gpu=device.device == "gpu")
    else:
        values, seconds = _predict(model, batch, options.batch_rows)
        found["rows_per_second"] = round(options.rows / seconds)
    np.save(options.out.with_suffix(".npy"), values)
    options.out.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")


@dataclass(frozen=True)
class UsedDevice:
    """The device that a model predicts on."""

    device: Literal["cpu", "gpu"]
    reason: str = ""
    """Why it is the CPU."""
    broken: bool = False
    """Whether the library is built for GPUs and cannot use the one that is there."""


def used_device(declared: str, model: LoadedModel) -> UsedDevice:
    """Return the device of a loaded model, as its library reports it."""
    if find_device() == "cpu":
        return UsedDevice("cpu", "the container finds no GPU: no /dev/nvidia0, or a variable hides it")
    library = _DEVICES.get(FORMATS[declared].library)
    return library(model) if library else UsedDevice("cpu", "Fleetscore scores this format on the CPU only")


def _torch_device(_: LoadedModel) -> UsedDevice:
    import torch  # noqa: PLC0415 - one library per process

    if torch.cuda.is_available():
        return UsedDevice("gpu")
    built = f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}, cannot use the GPU"
    return UsedDevice("cpu", built, broken=bool(torch.version.cuda))


def _tensorflow_device(_: LoadedModel) -> UsedDevice:
    import tensorflow as tf  # noqa: PLC0415

    if tf.config.list_physical_devices("GPU"):
        return UsedDevice("gpu")
    return UsedDevice("cpu", "TensorFlow cannot use the GPU", broken=tf.test.is_built_with_cuda())


def _onnx_device(model: LoadedModel) -> UsedDevice:
    import onnxruntime  # noqa: PLC0415

    name = "CUDAExecutionProvider"
    if name in model.native.get_providers():
        return UsedDevice("gpu")
    broken = name in onnxruntime.get_available_providers()
    return UsedDevice("cpu", "ONNX Runtime cannot use the GPU: it runs without CUDA's provider", broken=broken)


def _xgboost_device(_: LoadedModel) -> UsedDevice:
    import xgboost  # noqa: PLC0415

    built = xgboost.build_info().get("USE_CUDA")
    return UsedDevice("gpu") if built else UsedDevice("cpu", "XGBoost is built for the CPU")


_DEVICES = {
    "PyTorch": _torch_device,
    "TensorFlow": _tensorflow_device,
    "ONNX Runtime": _onnx_device,
    "XGBoost": _xgboost_device,
}


def batch_of(matrix: Any) -> FeatureBatch:
    arrays = tuple(pa.array(np.ascontiguousarray(matrix[:, index])) for index in range(len(FEATURES)))
    return FeatureBatch(FEATURES, arrays, frozenset())


def _predict(model: LoadedModel, batch: FeatureBatch, batch_rows: int) -> tuple[Any, float]:
    """Return the predictions, and the seconds that they took after a first batch."""
    model.predict(batch.slice(0, min(batch.rows, batch_rows)))
    started = time.monotonic()
    parts = [
        np.asarray(model.predict(batch.slice(start, min(batch_rows, batch.rows - start))))
        for start in range(0, batch.rows, batch_rows)
    ]
    return np.concatenate(parts).reshape(-1), time.monotonic() - started


def _predict_tight(model: LoadedModel, batch: FeatureBatch, leave: int, *, gpu: bool) -> tuple[Any, int]:
    """Predict one batch in little memory, after a few rows for which the library allocates its own.

    Returns the predictions and the bytes left.
    """
    model.predict(batch.slice(0, _WARM_ROWS))
    release = getattr(model, "release_memory", None)
    if release is not None:
        release()
    with limited(leave, gpu=gpu) as left:
        values = np.asarray(model.predict(batch))
    return values.reshape(-1), left


def _version(framework: str) -> str:
    name = {"pytorch": "torch", "onnx": "onnxruntime"}.get(framework, framework)
    return str(getattr(sys.modules.get(name), "__version__", ""))


if __name__ == "__main__":
    main()
