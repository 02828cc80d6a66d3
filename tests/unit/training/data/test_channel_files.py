"""Which files of a channel are training data."""

from pathlib import Path

import pytest

from contract.job.scoring_spec import PinnedObject
from scoring.errors import DataError
from training.data.channel_files import find_objects


def test_objects_without_bytes_are_logged_and_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    found = find_objects(tmp_path, (PinnedObject("a.parquet", 0, "e"), PinnedObject("b.parquet", 4, "e")), "objects")
    assert [item.key for item in found] == ["b.parquet"]
    assert "it holds no data (0 bytes)" in capsys.readouterr().out


def test_training_on_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 objects holds data, all have 0 bytes: write the dataset again"):
        find_objects(tmp_path, (PinnedObject("a.parquet", 0, "e"),), "objects")
