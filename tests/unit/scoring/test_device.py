"""A GPU is found without a GPU library if the driver shows one and no variable hides it."""

from pathlib import Path

import pytest

from scoring.device import find_device, onnx_providers


@pytest.mark.parametrize(
    ("nodes", "variables", "expected"),
    [
        ([], {}, "cpu"),
        (["nvidia0", "nvidiactl"], {}, "cuda"),
        (["nvidia3"], {"CUDA_VISIBLE_DEVICES": "0"}, "cuda"),
        (["nvidiactl", "nvidia-uvm", "nvidia-caps"], {}, "cpu"),
        (["nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, "cpu"),
        (["nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1"}, "cpu"),
        (["nvidia0"], {"NVIDIA_VISIBLE_DEVICES": "void"}, "cpu"),
        (["nvidia0"], {"NVIDIA_VISIBLE_DEVICES": "all"}, "cuda"),
    ],
)
def test_device_nodes_and_variables_decide(
    nodes: list[str], variables: dict[str, str], expected: str, tmp_path: Path
) -> None:
    for name in nodes:
        (tmp_path / name).touch()
    assert find_device(tmp_path, variables) == expected


def test_onnx_uses_the_gpu_only_with_its_provider() -> None:
    both = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_providers(both, "cuda") == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_providers(both, "cpu") == ["CPUExecutionProvider"]
    assert onnx_providers(["CPUExecutionProvider"], "cuda") == ["CPUExecutionProvider"]
