"""Copies of S3 objects: the largest size, checksums in the answers, and ranges of large objects."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.s3.checksums import add_checksum

MAX_COPY_BYTES = 5 << 30
"""Most bytes that one request copies."""
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_mapped: ContextVar[bool] = ContextVar("mapped", default=False)


def is_mapped() -> bool:
    """Return whether the current request reads a part of an object, so that its file should be mapped into memory."""
    return _mapped.get()


def map_file(path: Path) -> memoryview | bytes:
    """Return the bytes of a file without reading them."""
    with path.open("rb") as file:
        # An empty file cannot be mapped.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if path.stat().st_size else b""


def install_copies() -> None:
    """Refuse copies of more than 5 GiB, as S3 does, and return the checksums of copies.

    ministack reads the whole object for each part that is copied: here only its range.
    """
    from ministack.services import s3

    if missing := [name for name in ("_copy_object", "_upload_part_copy") if not callable(getattr(s3, name, None))]:
        raise MinistackChangedError(f"ministack's S3 has no {missing[0]}: install the pinned version")
    copy, copy_part = s3._copy_object, s3._upload_part_copy

    def copy_object(bucket: str, key: str, headers: dict[str, str]) -> Any:
        if _source_bytes(s3, headers) > MAX_COPY_BYTES:
            return _too_large(s3)
        status, answered, content = copy(bucket, key, headers)
        if status != 200:
            return status, answered, content
        record = s3._buckets[bucket]["objects"][key]
        asked = headers.get("x-amz-checksum-algorithm", "").upper()
        if asked == "CRC64NVME" and asked not in record["checksums"]:
            described = {"body": s3._read_body(bucket, key, record)}
            add_checksum(described)
            record |= {name: value for name, value in described.items() if name != "body"}
        elements = "".join(f"<Checksum{name}>{value}</Checksum{name}>" for name, value in record["checksums"].items())
        end = "</CopyObjectResult>"
        return status, answered, content.decode().replace(end, elements + end).encode()

    def upload_part_copy(bucket: str, key: str, query: Any, headers: dict[str, str]) -> Any:
        copied = _RANGE.fullmatch(headers.get("x-amz-copy-source-range", ""))
        size = int(copied[2]) - int(copied[1]) + 1 if copied else _source_bytes(s3, headers)
        if size > MAX_COPY_BYTES:
            return _too_large(s3)
        with _mapping():
            return copy_part(bucket, key, query, headers)

    s3._copy_object, s3._upload_part_copy = copy_object, upload_part_copy


@contextmanager
def _mapping() -> Iterator[None]:
    token = _mapped.set(True)
    try:
        yield
    finally:
        _mapped.reset(token)


def _source_bytes(s3: Any, headers: dict[str, str]) -> int:
    """Return the size of the object that a request copies; 0 if it does not exist, or is an older version."""
    source, _, version = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
    bucket, _, key = unquote(source).partition("/")
    found = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
    return 0 if found is None or version else int(found["size"])


def _too_large(s3: Any) -> Any:
    text = f"The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY_BYTES}"
    return s3._error("InvalidRequest", text, 400)
