"""Which files of a channel are training data."""

from pathlib import Path

import pytest

from contract.job.scoring_spec import PinnedObject
from scoring.errors import ConfigurationError, DataError
from training.data.channel_files import Channel, find_channel

PINNED = (PinnedObject("a.parquet", 0, "e"), PinnedObject("b.parquet", 4, "e"))


def find(folder: Path, *pinned: PinnedObject) -> Channel:
    return find_channel(folder, "flights", pinned, "objects")


@pytest.mark.parametrize("prefix", ["flights/", ""])
def test_objects_without_bytes_are_logged_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    (tmp_path / prefix).mkdir(exist_ok=True)
    (tmp_path / prefix / "a.parquet").write_bytes(b"")
    (tmp_path / prefix / "b.parquet").write_bytes(b"PAR1")
    channel = find(tmp_path, *PINNED)
    assert [(item.key, item.path) for item in channel.objects] == [("b.parquet", channel.root / "b.parquet")]
    assert channel.root == tmp_path / prefix
    assert "it holds no data (0 bytes)" in capsys.readouterr().out


def test_training_on_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 objects holds data, all have 0 bytes: write the dataset again"):
        find(tmp_path, PINNED[0])


def test_a_channel_without_a_pinned_object_names_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigurationError, match=r"it has 'c\.parquet', expected files such as 'flights/a\.parquet'"):
        find(tmp_path, *PINNED)


def test_a_missing_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"object 'b\.parquet' is missing"):
        find(tmp_path, *PINNED)
