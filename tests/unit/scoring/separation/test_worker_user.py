"""Whether workers can have their own user is decided by permissions alone, and the reason is named."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.separation.file_modes import change_owner, close_to_others
from scoring.separation.worker_user import find_worker_user, process_options
from tests.unit.scoring.support.job_folder import REPOSITORY
from tests.unit.scoring.support.separated import command_prefix, open_folder, why_not_separable

ASK = """
import sys
from pathlib import Path
from scoring.separation.worker_user import find_worker_user
user, reason = find_worker_user(Path(sys.argv[1]), Path(sys.argv[1], "unfinished"))
print(reason or f"user {user.uid}")
"""


def ask(root: Path, *prefix: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'inference_container'}{os.pathsep}{REPOSITORY}"}
    command = [*prefix, sys.executable, "-c", ASK, str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def needs_root() -> None:
    if reason := why_not_separable():
        pytest.skip(reason)


def test_container_that_is_not_root_cannot_separate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    user, reason = find_worker_user(tmp_path, tmp_path / "unfinished")
    assert user is None
    assert reason.startswith("the container runs as user 1000 and not as root") or "need Linux" in reason


@pytest.mark.usefixtures("needs_root")
def test_reasons_name_what_is_missing() -> None:
    with open_folder() as folder:
        (folder / "ml").mkdir()
        prefix = command_prefix(folder)
        assert ask(folder / "ml", *prefix) == "user 65530"
        (folder / "closed" / "ml").mkdir(parents=True)
        (folder / "closed").chmod(0o700)
        closed = ask(folder / "closed" / "ml", *prefix)
        assert closed == f"other users cannot enter {folder}/closed, which {folder}/closed needs"
        assert "does not exist in the container's user namespace" in ask(
            folder / "ml", *prefix, "unshare", "--user", "--map-root-user"
        )
        if shutil.which("setpriv"):
            lacking = ask(folder / "ml", *prefix, "setpriv", "--bounding-set", "-setuid,-kill")
            assert lacking == "the container lacks CAP_KILL, CAP_SETUID"


@pytest.mark.usefixtures("needs_root")
def test_closed_files_of_a_read_only_mount_prevent_separation() -> None:
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    with open_folder() as folder:
        data = folder / "ml" / "data"
        data.mkdir(parents=True)
        (data / "a").touch()
        prefix = (*command_prefix(folder), "sh", "-c", script, "sh", str(data))
        assert ask(folder / "ml", *prefix) == "user 65530"
        (data / "a").chmod(0o600)
        assert ask(folder / "ml", *prefix).startswith(
            f"the modes of the files below {folder}/ml cannot be set (OSError"
        )


def test_files_become_readable_for_all_and_writable_for_the_owner(tmp_path: Path) -> None:
    modes = {"open": 0o777, "open/file": 0o666, "closed": 0o700, "closed/file": 0o600, "right": 0o755}
    for name in ("open", "closed", "right", "unfinished"):
        (tmp_path / name).mkdir()
    for name in ("open/file", "closed/file", "unfinished/file"):
        (tmp_path / name).touch()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.touch(mode=0o600)
    (tmp_path / "link").symlink_to(outside)
    for name, mode in {**modes, "unfinished/file": 0o600}.items():
        (tmp_path / name).chmod(mode)

    close_to_others(tmp_path, 65_530, skipped=tmp_path / "unfinished")

    found = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (*modes, "unfinished/file")}
    assert found == {
        "open": 0o755,
        "open/file": 0o644,
        "closed": 0o755,
        "closed/file": 0o644,
        "right": 0o755,
        "unfinished/file": 0o600,
    }
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


@pytest.mark.usefixtures("needs_root")
def test_a_change_of_owner_follows_no_links(tmp_path: Path) -> None:
    outside, given = tmp_path / "outside", tmp_path / "given"
    outside.touch()
    (given / "sub").mkdir(parents=True)
    (given / "sub" / "file").touch()
    (given / "link").symlink_to(outside)
    change_owner(given, 65_530)
    assert {path.lstat().st_uid for path in (given, *given.rglob("*"))} == {65_530}
    assert outside.stat().st_uid == os.geteuid()


def test_model_code_gets_no_credentials(tmp_path: Path) -> None:
    given = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "u", "AWS_REGION": "r", "A": "b"}
    assert process_options(None, tmp_path, given) == {
        "env": {"AWS_REGION": "r", "A": "b", **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(tmp_path))}
    }
