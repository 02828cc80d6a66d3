"""A `.keras` file is refused when Keras would run code of it, or unpack too much."""

import zipfile
from pathlib import Path

import pytest

from contract import archives
from scoring.models.tensors.keras_zip import zip_problem

SAVED = ("metadata.json", "config.json", "model.weights.h5", "assets/", "assets/layers/lookup/vocabulary.txt")


def saved(folder: Path, *names: str, content: bytes = b"x") -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def test_file_as_keras_saves_it_is_accepted(tmp_path: Path) -> None:
    assert zip_problem(saved(tmp_path, *SAVED)) == ""


@pytest.mark.parametrize("name", ["model.weights.npz", "assets/../../victim", "/etc/victim", "other"])
def test_unknown_part_is_refused_by_name(tmp_path: Path, name: str) -> None:
    assert f"has a part {name!r}, expected only" in zip_problem(saved(tmp_path, *SAVED[:2], name))


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 1 << 10)
    assert "unpacks to 1,048,576 bytes, at most 1" in zip_problem(
        saved(tmp_path, "config.json", content=bytes(1 << 20))
    )
