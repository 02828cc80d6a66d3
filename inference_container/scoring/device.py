"""Determines whether this container may use a GPU, without importing a GPU library."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]

_DEVICES = Path("/dev")
_HIDES_ALL = frozenset({"", "-1", "none", "void", "NoDevFiles"})
_VISIBILITY = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Variables that hide devices: CUDA's, and that of NVIDIA's container runtime."""


def find_device(devices: Path = _DEVICES, variables: Mapping[str, str] = os.environ) -> Device:
    """Return `cuda` if the driver shows a GPU and no variable hides it.

    Each library then checks whether it can use the GPU. If not, it runs on the CPU and logs that:
    the job is slower, with the same result.
    """
    if any(variables.get(name, "all") in _HIDES_ALL for name in _VISIBILITY):
        return "cpu"
    # A GPU is nvidia0, nvidia1, ...; nvidiactl and nvidia-uvm exist without a GPU too.
    numbered = (path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*"))
    return "cuda" if any(number.isdigit() for number in numbered) else "cpu"


def onnx_providers(available: Collection[str], device: Device) -> list[str]:
    """Return ONNX Runtime's execution providers by preference: CUDA if available, then CPU."""
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    return [name for name in [*wanted, "CPUExecutionProvider"] if name in available]
