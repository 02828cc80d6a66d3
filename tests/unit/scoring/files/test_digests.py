import hashlib
from pathlib import Path

import pyarrow as pa

from scoring.files.digests import PrefixDigest, digest_of
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
