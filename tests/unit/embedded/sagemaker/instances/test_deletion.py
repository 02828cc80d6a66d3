"""Deletion of the folder of a job."""

import os
import subprocess
import sys
from pathlib import Path

from embedded.sagemaker.instances import guard

_NESTED = """
import os, resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from embedded.sagemaker.instances.guard import delete_folder
resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
delete_folder(Path({folder!r}))
"""


def test_files_links_and_folders_are_deleted_but_not_where_links_lead(tmp_path: Path) -> None:
    outside, job = tmp_path / "outside", tmp_path / "job"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (job / "a/b").mkdir(parents=True)
    (job / "a/b/file").write_bytes(b"x")
    (job / "a/folder-link").symlink_to(outside)
    (job / "a/file-link").symlink_to(outside / "kept")
    (job / "a/broken-link").symlink_to("missing")
    os.mkfifo(job / "a/pipe")
    guard.delete_folder(job)
    assert not job.exists()
    assert (outside / "kept").read_bytes() == b"kept"


def test_a_folder_that_is_a_link_or_missing_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "outside/inner").mkdir(parents=True)
    (tmp_path / "job").symlink_to("outside")
    guard.delete_folder(tmp_path / "job")
    guard.delete_folder(tmp_path / "missing")
    assert (tmp_path / "outside/inner").is_dir()


def test_more_nested_folders_are_deleted_than_files_may_be_open(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.joinpath(*["d"] * 200).mkdir(parents=True)
    root = str(Path(guard.__file__).parents[3])
    subprocess.run([sys.executable, "-c", _NESTED.format(root=root, folder=str(folder))], check=True)
    assert not folder.exists()
