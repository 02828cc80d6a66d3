"""A new file is complete and on disk before it has its name, on every kind of mount."""

from pathlib import Path

import pytest

from contract.layout import unfinished_name
from scoring.files import new_file as module
from scoring.files.new_file import new_file
from tests.unit.scoring.support.mounted import run_mounted
from tests.unit.scoring.support.separated import why_not_separable


@pytest.fixture(params=["as on this machine", "hidden name"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let files be created as this system can, and as on systems without files without a name."""
    if request.param == "hidden name":
        monkeypatch.setattr(module, "_WITHOUT_NAME", 0)
    return bool(module._WITHOUT_NAME)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_no_name_before_it_is_complete(tmp_path: Path, any_system: bool) -> None:
    target = tmp_path / "a" / "target"
    with new_file(target) as file:
        file.write(b"content")
        file.flush()
        assert names(target.parent) == ([] if any_system else [unfinished_name("target")])
    assert names(target.parent) == ["target"]
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("any_system")
def test_a_file_replaces_another_and_leftovers_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"of an earlier attempt, and longer")
    (tmp_path / unfinished_name("target")).write_bytes(b"of a killed one")
    with target.open("rb") as earlier:
        with new_file(target) as file:
            file.write(b"new")
        assert earlier.read() == b"of an earlier attempt, and longer"
    assert (names(tmp_path), target.read_bytes()) == (["target"], b"new")


@pytest.mark.usefixtures("any_system")
def test_an_exception_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")

    def fail() -> None:
        with new_file(target) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (names(tmp_path), target.read_bytes()) == (["target"], b"before")


@pytest.mark.parametrize("has_unnamed", [True, False])
def test_a_full_disk_leaves_nothing(tmp_path: Path, has_unnamed: bool) -> None:
    if reason := why_not_separable():
        pytest.skip(reason)
    code = f"""
import errno, sys
from pathlib import Path
from scoring.files import new_file as module
if not {has_unnamed}:
    module._WITHOUT_NAME = 0
target = Path(sys.argv[1])
try:
    with module.new_file(target) as file:
        file.write(bytes(2 << 20))
except OSError as error:
    print(errno.errorcode[error.errno], list(target.parent.iterdir()))
"""
    assert run_mounted(f"mount -t tmpfs -o size=1m none {tmp_path}", code, tmp_path / "target") == "ENOSPC []"


@pytest.mark.parametrize(
    "mounts",
    [
        "mount -t tmpfs none /proc",
        "mkdir $D/source $D/folder; mount --bind $D/source $D/folder",
        "mount -t tmpfs x $D; cd $D; mkdir l u w folder; mount -t overlay x folder -o lowerdir=l,upperdir=u,workdir=w",
    ],
    ids=["no /proc", "bind mount", "overlay"],
)
def test_a_file_replaces_another_on_unusual_mounts(tmp_path: Path, mounts: str) -> None:
    if reason := why_not_separable():
        pytest.skip(reason)
    code = """
import sys
from pathlib import Path
from scoring.files.new_file import new_file
for content in (b"old", b"new"):
    with new_file(Path(sys.argv[1])) as file:
        file.write(content)
print([(path.name, path.read_text()) for path in Path(sys.argv[1]).parent.iterdir()])
"""
    assert run_mounted(f"D={tmp_path}; {mounts}", code, tmp_path / "folder" / "target") == "[('target', 'new')]"
