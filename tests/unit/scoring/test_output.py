import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest

from scoring.output import ParquetSink, describe, publish


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
