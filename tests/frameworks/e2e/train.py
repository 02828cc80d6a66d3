"""Writes a model.tar.gz of a heavy framework, run by the frameworks' Python.

Usage: python train.py FRAMEWORK FILE
"""

import sys
import tarfile
import tempfile
from pathlib import Path


def train_pytorch(folder: Path) -> None:
    import torch  # noqa: PLC0415 - only one of the frameworks is installed

    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).eval()
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, folder / "model.pt2")


def train_tensorflow(folder: Path) -> None:
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.export(folder / "1", verbose=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        {"pytorch": train_pytorch, "tensorflow": train_tensorflow}[sys.argv[1]](Path(name))
        with tarfile.open(sys.argv[2], "w:gz") as archive:
            archive.add(name, arcname=".")
