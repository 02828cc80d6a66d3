import errno
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.layout import artifact_key
from scoring.errors import ConfigurationError, ModelError
from scoring.job.artifacts import extract_model, verify_artifacts
from tests.unit.archives_of_attackers import realpath_overflow
from tests.unit.scoring.support.model_specs import any_spec


def packed(folder: Path, *members: tarfile.TarInfo | tuple[str, bytes], **fields: Any) -> ModelSpec:
    archive = folder / artifact_key("model", "v1")
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                name, content = member
                information = tarfile.TarInfo(name)
                information.size = len(content)
                tar.addfile(information, io.BytesIO(content))
    return described(archive, **fields)


def described(archive: Path, **fields: Any) -> ModelSpec:
    content = archive.read_bytes()
    spec = any_spec(Feature("x", "double"))
    values = {**vars(spec), "artifact_sha256": hashlib.sha256(content).hexdigest(), "artifact_bytes": len(content)}
    return ModelSpec(**{**values, **fields})


def link(name: str, target: str) -> tarfile.TarInfo:
    information = tarfile.TarInfo(name)
    information.type = tarfile.SYMTYPE
    information.linkname = target
    return information


def test_verified_artifact_is_unpacked(tmp_path: Path) -> None:
    spec = packed(tmp_path, ("./sub/model.json", b"{}"), model_file="sub/model.json")
    verify_artifacts(tmp_path, (spec,))
    assert extract_model(tmp_path, spec, tmp_path / "out").read_bytes() == b"{}"


def test_all_differing_artifacts_are_reported(tmp_path: Path) -> None:
    right = packed(tmp_path, ("model.json", b"{}"))
    wrong_size = ModelSpec(**{**vars(right), "artifact_bytes": 5})
    wrong_digest = ModelSpec(**{**vars(right), "artifact_sha256": "a" * 64})
    missing = ModelSpec(**{**vars(right), "model_id": "missing"})
    with pytest.raises(ModelError) as raised:
        verify_artifacts(tmp_path, (wrong_size, right, wrong_digest, missing))
    assert raised.value.text.count("artifact has") == 2
    assert "its record says 5" in raised.value.text
    assert "find out by whom, and restore the earlier version" in raised.value.text
    assert "model 'missing' version 'v1': its artifact is not among the job's inputs" in raised.value.text


def test_artifacts_of_which_none_is_expected_are_named(tmp_path: Path) -> None:
    right = packed(tmp_path, ("model.json", b"{}"))
    with pytest.raises(ConfigurationError) as raised:
        verify_artifacts(tmp_path, (ModelSpec(**{**vars(right), "model_id": "missing"}),))
    assert "it has 'model/v1/model.tar.gz', expected files such as 'missing/v1/model.tar.gz'" in raised.value.text


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", b"x"),
        ("sub/../../outside", b"x"),
        link("model.json", "/etc/passwd"),
        link("a", "../../x"),
    ],
)
def test_archive_cannot_write_or_link_outside_its_folder(tmp_path: Path, member: Any) -> None:
    spec = packed(tmp_path / "models", member)
    with pytest.raises(ModelError, match="model 'model': its artifact cannot be unpacked"):
        extract_model(tmp_path / "models", spec, tmp_path / "a" / "out")
    assert not list(tmp_path.rglob("outside"))


def test_links_longer_than_a_path_write_nothing_outside(tmp_path: Path) -> None:
    """The artifact of CVE-2025-4517, of a format that needs no trust in its author."""
    victim, archive = tmp_path / "victim", tmp_path / artifact_key("model", "v1")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(realpath_overflow(victim, b"attacked", ("model.json", b"{}")))
    with pytest.raises(ModelError, match="member 'a' is a symbolic link"):
        extract_model(tmp_path, described(archive), tmp_path / "out")
    assert not victim.exists()


def test_archive_without_the_model_file_lists_its_files(tmp_path: Path) -> None:
    spec = packed(tmp_path, ("other.json", b"{}"))
    with pytest.raises(ModelError, match=r"no file 'model.json', it has 'other.json'"):
        extract_model(tmp_path, spec, tmp_path / "out")


def test_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / artifact_key("model", "v1")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"this is not an archive")
    with pytest.raises(ModelError, match="cannot be unpacked"):
        extract_model(tmp_path, described(archive), tmp_path / "out")


def test_full_disk_is_a_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of many models unpacks all of them; a corrected version of one would not help."""
    spec = packed(tmp_path, ("model.json", b"{}"), model_file="model.json")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("contract.archives.shutil.copyfileobj", full)
    with pytest.raises(ConfigurationError, match="volume size"):
        extract_model(tmp_path, spec, tmp_path / "out")
