"""Folders of ended instances that later instances get: they look like new ones, or are not used again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.sagemaker.instances.guard import delete_folder
from embedded.sagemaker.instances.spare_folders import MOST_SPARES, SpareFolders, layout_of, make_folders
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import Aws, job_request, run, s3_input, s3_outputs

LAYOUT = layout_of(["ml/input/a", "ml/output"], {"ml": 0o755, "root/tmp": 0o1777})


def described(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, owner and group of everything in a folder."""
    statuses = {path.relative_to(folder).as_posix(): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (status.st_mode, status.st_uid, status.st_gid) for path, status in statuses.items()}


def fill(folder: Path) -> None:
    """Leave files, folders and links, as jobs do."""
    (folder / "ml/input/a/data").write_bytes(b"secret")
    (folder / "ml/input/a/inner/more").mkdir(parents=True)
    (folder / "ml/input/a/inner/more/.hidden").write_bytes(b"secret")
    (folder / "ml/output/link").symlink_to(folder.parent / "outside")
    (folder / "root/tmp/socket").touch(mode=0o777)
    (folder / "clock").mkdir()
    (folder / "ml/input/output").mkdir()  # its name is that of a folder elsewhere


def test_a_spare_is_empty_and_looks_like_a_new_folder(tmp_path: Path) -> None:
    spares = SpareFolders(tmp_path / "spare")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_bytes(b"kept")
    assert not spares.take(LAYOUT, tmp_path / "first")
    make_folders(tmp_path / "first", LAYOUT)
    new = described(tmp_path / "first")
    inode = (tmp_path / "first").stat().st_ino
    fill(tmp_path / "first")
    spares.give(LAYOUT, tmp_path / "first")
    assert not (tmp_path / "first").exists()
    assert (tmp_path / "outside/kept").read_bytes() == b"kept"
    assert not spares.take(layout_of(["ml"], {}), tmp_path / "other"), "another layout"
    assert spares.take(LAYOUT, tmp_path / "attempt-1/second")
    assert described(tmp_path / "attempt-1/second") == new
    assert (tmp_path / "attempt-1/second").stat().st_ino == inode
    assert not spares.take(LAYOUT, tmp_path / "third"), "each spare is used once"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "ml/output").rmdir(),
        lambda folder: (folder / "ml/output").chmod(0o700),
        lambda folder: (folder / "root/tmp").chmod(0o777),
        lambda folder: folder.chmod(0o700) or (folder / "ml").chmod(0o700),
        lambda folder: os.setxattr(folder / "ml/input", "user.mark", b"secret"),
        lambda folder: (folder / "ml/output").rmdir() or (folder / "ml/output").symlink_to("input"),
        lambda folder: (folder / "ml/output").rmdir() or (folder / "ml/output").write_bytes(b""),
        pytest.param(
            lambda folder: os.chown(folder / "ml/input/a", 1234, 1234),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root changes owners"),
        ),
    ],
)
def test_a_folder_that_a_job_has_changed_is_not_kept(change: Callable[[Path], Any], tmp_path: Path) -> None:
    make_folders(tmp_path / "job", LAYOUT)
    try:
        change(tmp_path / "job")
    except OSError:
        pytest.skip("the file system has no attributes")
    spares = SpareFolders(tmp_path / "spare")
    spares.give(LAYOUT, tmp_path / "job")
    assert (tmp_path / "job").exists(), "the caller deletes it"
    assert not spares.take(LAYOUT, tmp_path / "next")
    delete_folder(tmp_path / "job")


def test_missing_and_surplus_folders_are_not_kept(tmp_path: Path) -> None:
    spares = SpareFolders(tmp_path / "spare")
    spares.give(LAYOUT, tmp_path / "missing")
    for number in range(MOST_SPARES + 2):
        make_folders(tmp_path / f"job-{number}", LAYOUT)
        spares.give(LAYOUT, tmp_path / f"job-{number}")
    assert len(list((tmp_path / "spare").iterdir())) == MOST_SPARES


LOOK = """
found = sorted(str(path.relative_to(ML)) for path in ML.rglob("*"))
modes = sorted(oct(path.stat().st_mode) for path in ML.rglob("*"))
(OUTPUT / "result/seen").write_text(json.dumps([found, modes, os.listdir("/tmp"), os.listdir(os.environ["HOME"])]))
(INPUT / "data/left").write_text("secret")
pathlib.Path("/tmp/left").write_text("secret")
(pathlib.Path(os.environ["HOME"]) / "left").mkdir()
"""


def test_a_job_sees_nothing_of_the_job_before(
    service: SageMakerService, aws: Aws, prefix: str, build_image: Callable[..., str], tmp_path: Path
) -> None:
    aws.put(f"{prefix}in/x", "input")
    image, seen = build_image(LOOK), []
    for number in range(3):
        request = job_request(
            aws,
            image,
            ProcessingInputs=[s3_input("data", f"s3://{aws.bucket}/{prefix}in/")],
            ProcessingOutputConfig=s3_outputs(f"s3://{aws.bucket}/{prefix}{number}", "result"),
        )
        assert run(service, request)["ProcessingJobStatus"] == "Completed"
        seen.append(aws.get(f"{prefix}{number}result/seen"))
    assert seen[0] == seen[1] == seen[2]
    service.close()
    assert not (tmp_path / "sagemaker-0/jobs").exists()
