"""Which files an upload takes, and which it refuses."""

import os
from pathlib import Path

import pytest

from cli.documents.dataset_files import DatasetFiles, find_files
from contract.problems import InvalidInputError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("row\n1\n")
    return folder


def keys(found: DatasetFiles) -> list[str]:
    return [file.key for file in found.files]


def refused(path: Path, folder: str = "") -> str:
    with pytest.raises(InvalidInputError) as error:
        find_files(path, "flights", folder)
    return "\n".join(map(str, error.value.problems))


def test_a_folder_keeps_relative_paths_and_a_file_its_name(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", "day=1/a.csv")
    assert keys(find_files(tmp_path, "flights", "")) == ["b.csv", "day=1/a.csv"]
    assert keys(find_files(tmp_path, "flights", "2026/11/")) == ["2026/11/b.csv", "2026/11/day=1/a.csv"]
    assert keys(find_files(tmp_path / "day=1" / "a.csv", "flights", "x")) == ["x/a.csv"]


def test_names_with_a_dot_are_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", ".DS_Store", "x/.a.csv.crc", ".ipynb_checkpoints/a.csv")
    found = find_files(tmp_path, "flights", "")
    assert (keys(found), found.hidden) == (["a.csv"], (".DS_Store", ".ipynb_checkpoints", "x/.a.csv.crc"))


def test_names_that_executions_skip_are_uploaded_and_named(tmp_path: Path) -> None:
    found = find_files(write(tmp_path, "a.csv", "_SUCCESS", "_delta_log/0.json"), "flights", "")
    assert keys(found) == ["_SUCCESS", "_delta_log/0.json", "a.csv"]
    assert found.not_data == ["_SUCCESS", "_delta_log/0.json"]


def test_every_file_that_a_plan_would_refuse_is_named(tmp_path: Path) -> None:
    write(tmp_path, "report.pdf", "n" * 240 + ".csv", "a\x01.csv", "a.csv", "a.csv.parquet", "x/_READY")
    (tmp_path / "link.csv").symlink_to("a.csv")
    os.mkfifo(tmp_path / "pipe")
    text = refused(tmp_path)
    assert "report.pdf: got 'the name of a document or an image', expected a file that ends in .parquet" in text
    assert "bytes between two '/', because it becomes a file name" in text
    assert "a path without control characters" in text
    assert "names: got 'a.csv, a.csv.parquet', expected no object whose key" in text
    assert "x/_READY: got 'the marker of a complete upload'" in text
    assert "link.csv: got 'a symbolic link', expected a file. Copy what it points to" in text
    assert "pipe: got 'a device, a pipe or a socket'" in text


def test_paths_without_files_are_refused(tmp_path: Path) -> None:
    assert "expected a file or a folder that exists" in refused(tmp_path / "nothing")
    assert "expected a folder with files" in refused(tmp_path)
    assert "Left out: .DS_Store." in refused(write(tmp_path, ".DS_Store"))
    assert "--to: got '../x'" in refused(tmp_path, "../x")


def test_a_link_to_a_folder_is_refused_and_not_entered(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "a.csv")
    (folder / "loop").symlink_to(tmp_path)
    assert "loop: got 'a symbolic link'" in refused(folder)


def test_a_link_as_the_path_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    (tmp_path / "today.csv").symlink_to("a.csv")
    assert keys(find_files(tmp_path / "today.csv", "flights", "")) == ["today.csv"]
