import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from scoring.files.digests import PrefixDigest, digest_of
from scoring.files.moves import FileMove
from scoring.outputs.ledger import PreparedCommit, commit
from scoring.outputs.parquet_output import EncodedParquetWriter


def test_discarded_output_leaves_no_file(tmp_path: Path) -> None:
    writer = EncodedParquetWriter(tmp_path / "a" / "x.parquet", pa.schema([("x", pa.int64())]), [], 10)
    writer.write([pa.array([1])])
    writer.discard()
    writer.discard()
    assert list((tmp_path / "a").iterdir()) == []


def test_digest_continues_from_the_known_prefix(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"the same, and more")
    prefix = PrefixDigest(hashlib.sha256(b"the same"), 8)
    for _ in range(2):
        assert digest_of(tmp_path / "whole", prefix) == digest_of(tmp_path / "whole")


def test_no_marker_exists_without_its_outputs(tmp_path: Path) -> None:
    """Not even if the output that cannot be moved into place belongs to another model."""

    def finished(name: str, target: str) -> FileMove:
        (tmp_path / name).write_text(name)
        return FileMove(tmp_path / name, tmp_path / target)

    prepared = [
        PreparedCommit((finished("output-a", "outputs/a/x"),), finished("marker-a", "ledger/a/x")),
        PreparedCommit((finished("output-b", "outputs/b/x"),), finished("marker-b", "ledger/b/x")),
    ]
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "b").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="b"):
        commit(prepared)
    assert not (tmp_path / "ledger").exists()

    (tmp_path / "outputs" / "b").unlink()
    finished("output-a", "outputs/a/x")
    commit(prepared)
    placed = [path.read_text() for name in ("outputs", "ledger") for path in sorted((tmp_path / name).rglob("x"))]
    assert placed == ["output-a", "output-b", "marker-a", "marker-b"]
