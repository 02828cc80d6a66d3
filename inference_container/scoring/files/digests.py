"""Digests of files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PrefixDigest:
    """The SHA-256 state of a file's first bytes, which are copied from another file."""

    state: Any
    """A `hashlib` object; copied, never updated."""
    bytes: int


def digest_of(path: Path, prefix: PrefixDigest | None = None) -> str:
    """Return a file's SHA-256 in hex; only the bytes after `prefix` are read."""
    digest = prefix.state.copy() if prefix else hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(prefix.bytes if prefix else 0)
        hashlib.file_digest(file, lambda: digest)
    return str(digest.hexdigest())
