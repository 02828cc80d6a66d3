"""Checksums of files: CRC64NVME, which S3 computes too."""

import base64
from dataclasses import dataclass
from pathlib import Path

from awscrt.checksums import crc64nvme

_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class PrefixDigest:
    """The CRC64NVME of a file's first bytes, which are copied from another file."""

    crc: int
    bytes: int


NOTHING = PrefixDigest(0, 0)
"""The digest of no bytes."""


def extended(digest: PrefixDigest, data: bytes | memoryview) -> PrefixDigest:
    """Return the digest of the bytes of `digest` followed by `data`."""
    return PrefixDigest(crc64nvme(data, digest.crc), digest.bytes + len(data))


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
