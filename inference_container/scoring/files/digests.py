"""Checksums of files: CRC64NVME, which S3 computes too."""

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_READ_BYTES = 1 << 18
_POLYNOMIAL = 0x9A6C9329AC4BC9B5
"""Polynomial of CRC64NVME, with its bits reversed."""
_ALL_BITS = (1 << 64) - 1
_BYTES_IN_PYTHON = 1 << 16
"""Largest number of bytes that a process hashes in Python, which takes less time than importing awscrt."""


@dataclass(frozen=True)
class PrefixDigest:
    """The CRC64NVME of a file's first bytes, which are copied from another file."""

    crc: int
    bytes: int


NOTHING = PrefixDigest(0, 0)
"""The digest of no bytes."""


def extended(digest: PrefixDigest, data: bytes | memoryview) -> PrefixDigest:
    """Return the digest of the bytes of `digest` followed by `data`."""
    return PrefixDigest(_crc64nvme(data, digest.crc), digest.bytes + len(data))


def digest_of(path: Path, prefix: PrefixDigest = NOTHING) -> str:
    """Return a file's CRC64NVME in Base64, as S3 shows it; only the bytes after `prefix` are read.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = Path(file.name).write_bytes(b"123456789")
    ...     digest_of(Path(file.name))
    'rosUhgp5mIg='
    """
    digest = prefix
    with path.open("rb", buffering=0) as file:
        file.seek(prefix.bytes)
        while data := file.read(_READ_BYTES):
            digest = extended(digest, data)
    return as_text(digest)


def as_text(digest: PrefixDigest) -> str:
    """Return a digest in Base64, as S3 shows it."""
    return base64.b64encode(digest.crc.to_bytes(8, "big")).decode()


class _Crc64Nvme:
    """Continues a CRC64NVME with further bytes: the first ones in Python, all others with awscrt.

    A small job writes a few kilobytes, and importing awscrt, which collects random numbers for connections, would
    take a tenth of its processor time.
    """

    def __init__(self, bytes_in_python: int) -> None:
        self._left = bytes_in_python

    def __call__(self, data: bytes | memoryview, crc: int) -> int:
        if len(data) <= self._left:
            self._left -= len(data)
            return _in_python(data, crc)
        self._left = 0
        from awscrt.checksums import crc64nvme  # noqa: PLC0415 - see the class

        return int(crc64nvme(data, crc))


def _in_python(data: bytes | memoryview, crc: int) -> int:
    table = _table()
    crc ^= _ALL_BITS
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _ALL_BITS


@cache
def _table() -> list[int]:
    """Return the remainder of each value of a byte."""
    remainders = list(range(256))
    for _ in range(8):
        remainders = [value >> 1 ^ (_POLYNOMIAL if value & 1 else 0) for value in remainders]
    return remainders


_crc64nvme = _Crc64Nvme(_BYTES_IN_PYTHON)
