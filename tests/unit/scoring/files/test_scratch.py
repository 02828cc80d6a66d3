"""Unfinished work goes where files can be renamed from, or where there is room."""

from pathlib import Path

import pytest

from scoring.errors import ConfigurationError
from scoring.files.scratch import scratch_folder
from tests.unit.scoring.support.mounted import run_mounted
from tests.unit.scoring.support.separated import why_not_separable

CHOOSE = """
import sys, tempfile
from pathlib import Path
from scoring.files.scratch import scratch_folder
root = Path(sys.argv[1])
tempfile.tempdir = str(root / "tmp")
parents = [root / "ml/output", root / "ml/input"]
with scratch_folder(parents, [root / "ml/output/predictions", root / "ml/output/ledger"]) as folder:
    print(folder.parent.relative_to(root), oct(folder.stat().st_mode), [path.name for path in folder.iterdir()])
print([path for path in root.rglob("*") if path.is_file() or path.name == ".unfinished"])
"""


def disk(place: str, size: str) -> str:
    return f"mkdir -p $R/{place}; mount -t tmpfs -o size={size} none $R/{place}"


def bind(place: str) -> str:
    return f"mkdir -p $R/{place}; mount --bind $R/{place} $R/{place}"


def choose(root: Path, *mounts: str) -> str:
    """Return the chosen parent, after checks of its mode and its deletion."""
    if reason := why_not_separable():
        pytest.skip(reason)
    leftover = "mkdir -p $R/ml/output/.unfinished $R/tmp; touch $R/ml/output/.unfinished/of-a-killed-container"
    script = "\n".join([f"R={root}", *mounts, leftover])
    chosen, rest = run_mounted(script, CHOOSE, root).splitlines()
    assert rest == "[]"
    parent, mode, files = chosen.split(" ")
    assert (mode, files) == ("0o40755", "[]")
    return parent


def test_one_volume_keeps_unfinished_work_next_to_the_outputs(tmp_path: Path) -> None:
    assert choose(tmp_path, disk("ml", "2m"), disk("tmp", "9m")) == "ml/output"


@pytest.mark.parametrize("mounted", [disk("ml/output/ledger", "2m"), bind("ml/output/ledger")])
def test_with_a_mount_per_output_the_roomiest_disk_is_chosen(tmp_path: Path, mounted: str) -> None:
    disks = [disk("ml", "2m"), mounted]
    assert choose(tmp_path, *disks, disk("ml/input", "5m"), disk("tmp", "3m")) == "ml/input"
    assert choose(tmp_path, *disks, disk("ml/input", "3m"), disk("tmp", "5m")) == "tmp"
    assert choose(tmp_path, *disks, disk("ml/input", "1m"), disk("tmp", "1m")) == "ml/output"


def test_disks_are_preferred_to_memory(tmp_path: Path) -> None:
    assert choose(tmp_path, bind("ml/output/ledger"), disk("tmp", "100g")) in ("ml/output", "ml/input")


def test_a_read_only_mount_is_passed_over(tmp_path: Path) -> None:
    mounts = [disk("ml", "2m"), bind("ml/output/ledger"), disk("ml/input", "9m"), disk("tmp", "5m")]
    assert choose(tmp_path, *mounts, "mount -o remount,ro $R/ml/input") == "tmp"


def test_nowhere_to_write_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / ".unfinished").write_text("a file, which is not deleted as a folder is")
    with (
        pytest.raises(ConfigurationError, match=r"output: File exists\): raise the job's volume size"),
        scratch_folder([tmp_path / "output"]),
    ):
        pass
