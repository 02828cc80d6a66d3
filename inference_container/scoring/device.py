"""Whether this container may compute on a GPU, found without importing a library that would need one."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]

_DEVICES = Path("/dev")
_NOTHING_VISIBLE = frozenset({"", "-1", "none", "void", "NoDevFiles"})
_VISIBILITY = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""CUDA's own variable, and that of the runtime which puts the devices into a container."""


def find_device(devices: Path = _DEVICES, variables: Mapping[str, str] = os.environ) -> Device:
    """`cuda` when the driver shows a GPU here and nothing hides it; each library then asks for itself what it can use.

    A library that cannot use the GPU stays on the CPU and says so in the log: slower, but the same job.
    """
    if any(variables.get(name, "all") in _NOTHING_VISIBLE for name in _VISIBILITY):
        return "cpu"
    # nvidia0, nvidia1, ...: nvidiactl and nvidia-uvm are there without a GPU, too.
    numbered = (path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*"))
    return "cuda" if any(number.isdigit() for number in numbered) else "cpu"


def onnx_providers(available: Collection[str], device: Device) -> list[str]:
    """ONNX Runtime's execution providers, the first that can: CUDA where a GPU and the provider are there, else CPU."""
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    return [name for name in [*wanted, "CPUExecutionProvider"] if name in available]
