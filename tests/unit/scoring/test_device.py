"""A GPU is found without a GPU library if the driver shows one and no variable hides it."""

from pathlib import Path

import pytest

from scoring.device import FULL_PRECISION, find_device, onnx_providers, visible_gpus, worker_variables


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


@pytest.mark.parametrize(
    ("nodes", "variables", "expected"),
    [
        (["nvidia0"], {}, ("0",)),
        (["nvidia2", "nvidia5", "nvidiactl"], {}, ("0", "1")),
        (["nvidia0", "nvidia1", "nvidia2"], {"CUDA_VISIBLE_DEVICES": "2, 0"}, ("2", "0")),
        (["nvidia0"], {"CUDA_VISIBLE_DEVICES": "MIG-1,MIG-2"}, ("MIG-1", "MIG-2")),
        ([], {"CUDA_VISIBLE_DEVICES": "0"}, ()),
    ],
)
def test_gpus_have_the_names_that_cuda_takes(
    nodes: list[str], variables: dict[str, str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    for name in nodes:
        (tmp_path / name).touch()
    assert visible_gpus(tmp_path, variables) == expected


def test_workers_use_several_gpus_in_turn() -> None:
    chosen = [worker_variables(number, ("0", "1", "2")).get("CUDA_VISIBLE_DEVICES") for number in range(4)]
    assert chosen == ["0", "1", "2", "0"]
    assert worker_variables(1, ("0",)) == worker_variables(1, ()) == FULL_PRECISION
