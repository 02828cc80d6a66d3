"""Determines whether this container may use a GPU, without importing a GPU library."""

import functools
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]

_DEVICES = Path("/dev")
_HIDES_ALL = frozenset({"", "-1", "none", "void", "NoDevFiles"})
_VISIBILITY = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Variables that hide devices: CUDA's, and that of NVIDIA's container runtime."""


FULL_PRECISION = {"NVIDIA_TF32_OVERRIDE": "0"}
"""Variable for processes that predict: NVIDIA's libraries calculate float32 as float32.

TensorFlow, ONNX Runtime and PyTorch's convolutions would otherwise round factors to the 10 bits of
TF32, and predictions would differ from the CPU's in the third or fourth digit.
"""


def find_device(devices: Path = _DEVICES, variables: Mapping[str, str] = os.environ) -> Device:
    """Return `cuda` if the driver shows a GPU and no variable hides it.

    Each library then checks whether it can use the GPU. If not, it runs on the CPU and logs that:
    the job is slower, with the same result.
    """
    return "cuda" if visible_gpus(devices, variables) else "cpu"


def visible_gpus(devices: Path = _DEVICES, variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return CUDA's names of the GPUs that this container may use: numbers, unless a variable has others."""
    if any(variables.get(name, "all") in _HIDES_ALL for name in _VISIBILITY):
        return ()
    count = _count_gpus(devices)
    chosen = variables.get(_VISIBILITY[0])
    if not count or chosen is None:
        # CUDA counts from 0, whatever the numbers of the files.
        return tuple(map(str, range(count)))
    return tuple(name.strip() for name in chosen.split(","))


@functools.cache
def _count_gpus(devices: Path) -> int:
    """Return the number of GPUs. Each model asks for it, and it does not change while a container runs."""
    # A GPU is nvidia0, nvidia1, ...; nvidiactl and nvidia-uvm exist without a GPU too.
    numbered = (path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*"))
    return sum(number.isdigit() for number in numbered)


def worker_variables(number: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return variables for the worker with this number. Workers use several GPUs in turn.

    Libraries use the first GPU that they see, so without this all workers would share one.
    """
    chosen = {_VISIBILITY[0]: gpus[number % len(gpus)]} if len(gpus) > 1 else {}
    return FULL_PRECISION | chosen


def onnx_providers(available: Collection[str], device: Device) -> list[str]:
    """Return ONNX Runtime's execution providers by preference: CUDA if available, then CPU."""
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    return [name for name in [*wanted, "CPUExecutionProvider"] if name in available]
