import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest

from scoring.outputs.atomic_files import BegunDigest, Move, ParquetSink, describe, publish
from scoring.outputs.ledger import Commit, commit


def test_a_file_moves_to_its_place_whole(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    finished.write_bytes(b"content")
    target = tmp_path / "a" / "b" / "target"
    publish(finished, target)
    assert target.read_bytes() == b"content"
    assert not finished.exists()
    output = describe("predictions", "b/target", target)
    assert (output.bytes, output.sha256) == (7, hashlib.sha256(b"content").hexdigest())


def test_a_file_moves_to_another_file_system_too(tmp_path: Path) -> None:
    """As where SageMaker mounts each output folder by itself."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second file system to write to")
    with TemporaryDirectory(dir=memory) as other:
        finished = tmp_path / "finished"
        finished.write_bytes(b"content")
        target = Path(other) / "a" / "target"
        publish(finished, target)
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        assert target.read_bytes() == b"content"
        assert not finished.exists()


def test_an_output_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "a" / "x.parquet", pa.schema([("x", pa.int64())]), [], 10)
    sink.write([pa.array([1])])
    sink.discard()
    sink.discard()
    assert list((tmp_path / "a").iterdir()) == []


def test_a_digest_goes_on_where_another_file_has_the_same_beginning(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"the same, and more")
    begun = BegunDigest(hashlib.sha256(b"the same"), 8)
    for _ in range(2):
        assert describe("predictions", "key", tmp_path / "whole", begun) == describe(
            "predictions", "key", tmp_path / "whole"
        )


def test_no_marker_stands_without_its_outputs(tmp_path: Path) -> None:
    """Also where it is another model's output that cannot be put in its place."""

    def finished(name: str, target: str) -> Move:
        (tmp_path / name).write_text(name)
        return Move(tmp_path / name, tmp_path / target)

    prepared = [
        Commit((finished("output-a", "outputs/a/x"),), finished("marker-a", "ledger/a/x")),
        Commit((finished("output-b", "outputs/b/x"),), finished("marker-b", "ledger/b/x")),
    ]
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "b").write_text("a file where a folder is to be")
    with pytest.raises(OSError, match="b"):
        commit(prepared)
    assert not (tmp_path / "ledger").exists()

    (tmp_path / "outputs" / "b").unlink()
    finished("output-a", "outputs/a/x")
    commit(prepared)
    placed = [path.read_text() for name in ("outputs", "ledger") for path in sorted((tmp_path / name).rglob("x"))]
    assert placed == ["output-a", "output-b", "marker-a", "marker-b"]
