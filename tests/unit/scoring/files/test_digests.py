import random
from pathlib import Path

import pyarrow as pa
from awscrt.checksums import crc64nvme

from scoring.files import digests
from scoring.files.digests import NOTHING, digest_of, extended
from scoring.outputs.parquet_output import EncodedParquetWriter


def test_discarded_output_leaves_no_file(tmp_path: Path) -> None:
    writer = EncodedParquetWriter(tmp_path / "a" / "x.parquet", pa.schema([("x", pa.int64())]), [], 10)
    writer.write([pa.array([1])])
    writer.discard()
    writer.discard()
    assert list((tmp_path / "a").iterdir()) == []


def test_digest_continues_from_the_known_prefix(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"the same, and more")
    prefix = extended(NOTHING, b"the same")
    for _ in range(2):
        assert digest_of(tmp_path / "whole", prefix) == digest_of(tmp_path / "whole")


def test_small_and_large_files_have_the_same_kind_of_digest() -> None:
    content = random.Random(1).randbytes(3_000)
    for cut in (0, 1, 999, 2_999, 3_000):
        for bytes_in_python in (0, 999, 2_000, 3_000):  # awscrt alone, awscrt after Python, Python alone
            continued = digests._Crc64Nvme(bytes_in_python)
            crc = continued(memoryview(content)[cut:], continued(content[:cut], 0))
            assert crc == crc64nvme(content), (cut, bytes_in_python)
