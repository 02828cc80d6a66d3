"""The models of the check: the same small networks in each format, and trees.

`python -m benchmarks.gpu.models FORMAT FOLDER NAME=WIDTH...` makes them in a process of its own,
because a process cannot hold all libraries at once. It prints which library is missing and exits
with 3.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = tuple(f"f{index:02d}" for index in range(32))
MISSING = 3
"""Exit status without the library."""


@dataclass(frozen=True)
class Format:
    """A model format, and how closely its predictions on a GPU must agree with the CPU's."""

    name: str
    library: str
    file: str
    uses_gpu: bool = True
    relative: float = 1e-4
    absolute: float = 1e-5


FORMATS = {
    item.name: item
    for item in (
        Format("torchscript", "PyTorch", "model.pt"),
        Format("pytorch-export", "PyTorch", "model.pt2"),
        Format("onnx", "ONNX Runtime", "model.onnx"),
        Format("xgboost-ubj", "XGBoost", "model.ubj"),
        Format("tensorflow-savedmodel", "TensorFlow", "1/saved_model.pb"),
        Format("keras", "TensorFlow", "model.keras"),
        Format("lightgbm-text", "LightGBM", "model.txt", uses_gpu=False, relative=0.0, absolute=0.0),
        Format("catboost-cbm", "CatBoost", "model.cbm", uses_gpu=False, relative=0.0, absolute=0.0),
    )
}


def numbers(rows: int, seed: int = 0) -> Any:
    """Return features: rows x 32 doubles, standard normal."""
    return np.random.default_rng(seed).normal(size=(rows, len(FEATURES)))


def _weights(width: int) -> list[tuple[Any, Any]]:
    """Return weights (inputs x outputs) and biases of the layers 32 -> width -> 1."""
    random = np.random.default_rng(7)
    sizes = (len(FEATURES), width, 1)
    return [
        (
            random.normal(size=(inputs, outputs), scale=inputs**-0.5).astype("float32"),
            random.normal(size=outputs, scale=0.1).astype("float32"),
        )
        for inputs, outputs in itertools.pairwise(sizes)
    ]


def _torch(width: int) -> Any:
    import torch  # noqa: PLC0415 - one library per process

    layers: list[Any] = []
    for weights, bias in _weights(width):
        layer = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).eval()


def _torchscript(width: int, path: Path) -> None:
    import torch  # noqa: PLC0415

    torch.jit.script(_torch(width)).save(str(path))


def _torch_export(width: int, path: Path) -> None:
    import torch  # noqa: PLC0415

    rows = torch.export.Dim("rows")
    example = (torch.zeros(2, len(FEATURES)),)
    torch.export.save(torch.export.export(_torch(width), example, dynamic_shapes=({0: rows},)), path)


def _onnx(width: int, path: Path) -> None:
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: F401, PLC0415 - scores it
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    nodes, constants, name = [], [], "x"
    layers = _weights(width)
    for number, (weights, bias) in enumerate(layers):
        constants += [numpy_helper.from_array(weights, f"w{number}"), numpy_helper.from_array(bias, f"b{number}")]
        last = number == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], ["y" if last else f"g{number}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"g{number}"], [name := f"r{number}"]))
    ends = [
        helper.make_tensor_value_info(end, TensorProto.FLOAT, ["rows", size])
        for end, size in (("x", len(FEATURES)), ("y", 1))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))


def _keras(width: int) -> Any:
    import scoring.models.tensors.tensorflow_library  # noqa: F401, PLC0415 - sets Keras's backend

    import keras  # isort: skip  # noqa: PLC0415

    layers = [keras.layers.Dense(width, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((len(FEATURES),)), *layers])
    for layer, pair in zip(layers, _weights(width), strict=True):
        layer.set_weights(pair)
    return model


def _keras_file(width: int, path: Path) -> None:
    _keras(width).save(path)


def _saved_model(width: int, path: Path) -> None:
    _keras(width).export(path.parent, verbose=False)


def _labels() -> tuple[Any, Any]:
    rows = numbers(20_000, seed=3)
    return rows, rows[:, 0] + np.sin(2 * rows[:, 1]) - rows[:, 2] * (rows[:, 3] > 0)


def _xgboost(trees: int, path: Path) -> None:
    import xgboost  # noqa: PLC0415

    rows, labels = _labels()
    data = xgboost.DMatrix(rows, labels, feature_names=list(FEATURES))
    xgboost.train({"max_depth": 6, "device": "cpu"}, data, trees).save_model(path)


def _lightgbm(trees: int, path: Path) -> None:
    import lightgbm  # noqa: PLC0415

    rows, labels = _labels()
    data = lightgbm.Dataset(rows, labels, feature_name=list(FEATURES))
    lightgbm.train({"verbose": -1}, data, trees).save_model(path)


def _catboost(trees: int, path: Path) -> None:
    import catboost  # noqa: PLC0415

    rows, labels = _labels()
    pool = catboost.Pool(rows, labels, feature_names=list(FEATURES))
    catboost.CatBoost({"iterations": trees, "verbose": False, "allow_writing_files": False}).fit(pool).save_model(
        str(path)
    )


_MAKERS: dict[str, Callable[[int, Path], None]] = {
    "torchscript": _torchscript,
    "pytorch-export": _torch_export,
    "onnx": _onnx,
    "xgboost-ubj": _xgboost,
    "tensorflow-savedmodel": _saved_model,
    "keras": _keras_file,
    "lightgbm-text": _lightgbm,
    "catboost-cbm": _catboost,
}


def main(name: str, folder: str, *models: str) -> int:
    """Write a file per model, below a folder of its name. A width is the hidden layer's, or the number of trees."""
    for model, _, width in (text.partition("=") for text in models):
        path = Path(folder, model, FORMATS[name].file)
        path.parent.mkdir(parents=True)
        try:
            _MAKERS[name](int(width), path)
        except ImportError as error:
            print(f"{error.name or error} is not installed")
            return MISSING
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
