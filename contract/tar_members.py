"""Reads the members of a tar stream that anybody may have written.

Not `tarfile.open`: for some extended headers of a few kilobytes it takes minutes or gigabytes.
"""

import contextlib
import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import Protocol

_MAX_HEADER_BYTES = 256 << 10
"""Largest extended header, such as a long name, in bytes. Each is read into memory."""
_BLOCK_BYTES = tarfile.BLOCKSIZE
_MAX_DIGITS = 19
"""Longest number in a pax header, in characters: any size of 64 bits fits."""
_CHUNK_BYTES = 1 << 20
_EXTENDED_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_LONG_NAMES = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_NEEDED_RECORDS = frozenset({"path", "size"})
_DAMAGE = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, RecursionError)


class ArchiveError(ValueError):
    """The archive is damaged or has a member that is refused; the text names it and what to do."""


class Readable(Protocol):
    """A stream of packed bytes that is read forwards only."""

    def read(self, size: int, /) -> bytes: ...


@contextlib.contextmanager
def refusing_damage() -> Iterator[None]:
    """Raise ArchiveError for damage that is found inside of it."""
    try:
        yield
    except ArchiveError:
        raise
    except _DAMAGE as error:
        raise ArchiveError(f"it is not a whole gzip-compressed tar archive ({error})") from error


class Content:
    """The content of a member; damage of the archive is an ArchiveError here too."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        with refusing_damage():
            size = min(size, self._left) if size >= 0 else self._left
            chunk = self._stream.read(size)
            if size and not chunk:
                raise EOFError("it ends within a file")
            self._left -= len(chunk)
            return chunk

    def skip(self) -> None:
        """Read what is left."""
        while self.read(_CHUNK_BYTES):
            pass


def members(stream: Readable) -> Iterator[tuple[tarfile.TarInfo, Content]]:
    """Yield each member's header, with the name and size of its extended headers, and its content.

    Raises ArchiveError, and what `refusing_damage` turns into one.
    """
    own: dict[str, str] = {}
    common: dict[str, str] = {}
    is_first = True
    while block := _block_or_end(stream, is_first=is_first):
        is_first = False
        information = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if information.size < 0:
            raise ArchiveError(f"member {information.name[:200]!r} has a negative size: pack the archive again")
        if information.type in _EXTENDED_HEADERS:
            body = _extended_header(stream, information.size)
            if information.type in _LONG_NAMES:
                text = body.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
                own |= {"path": text} if information.type == tarfile.GNUTYPE_LONGNAME else {}
            elif information.type == tarfile.XGLTYPE:
                common |= _records(body)
            else:
                own |= _records(body)
            continue
        described = common | own
        own = {}
        if any(name.startswith("GNU.sparse.") for name in described):
            information.type = tarfile.GNUTYPE_SPARSE
        information.name = described.get("path", information.name)
        information.size = _size(described, information)
        content = Content(stream, information.size if information.isreg() else 0)
        yield information, content
        content.skip()
        _exactly(stream, -information.size % _BLOCK_BYTES if information.isreg() else 0)
    if own:
        raise EOFError("it ends after an extended header")


def _block_or_end(stream: Readable, *, is_first: bool) -> bytes:
    """Return the next header's block, or nothing at the end: a block of zeros, or no more data."""
    block = _up_to(stream, _BLOCK_BYTES)
    if is_first and not block:
        raise EOFError("it is empty")
    if block and len(block) < _BLOCK_BYTES:
        raise EOFError("it ends within a header")
    return block if block.strip(b"\0") else b""


def _extended_header(stream: Readable, size: int) -> bytes:
    if size > _MAX_HEADER_BYTES:
        raise ArchiveError(
            f"it has a header of {size:,} bytes, at most {_MAX_HEADER_BYTES:,} are read: shorten the names, "
            "or pack without extended attributes"
        )
    body = _exactly(stream, size)
    _exactly(stream, -size % _BLOCK_BYTES)
    return body


def _records(body: bytes) -> dict[str, str]:
    """Return the needed records of a pax header, each `length name=value` and a line's end."""
    found: dict[str, str] = {}
    start = 0
    while start < len(body) and body[start : start + 1] != b"\0":
        space = body.find(b" ", start, start + _MAX_DIGITS + 1)
        digits = body[start:space] if space > start else b""
        length = int(digits) if digits.isdigit() else 0
        record = body[space + 1 : start + length]
        if not record.endswith(b"\n") or start + length > len(body):
            raise ValueError("a pax header is damaged")
        name, _, value = record[:-1].partition(b"=")
        text = name.decode("utf-8", "surrogateescape")
        if text in _NEEDED_RECORDS or text.startswith("GNU.sparse."):
            found[text] = value.decode("utf-8", "surrogateescape")
        start += length
    return found


def _size(described: dict[str, str], information: tarfile.TarInfo) -> int:
    if "size" not in described:
        return information.size
    if not re.fullmatch(f"[0-9]{{1,{_MAX_DIGITS}}}", described["size"]):
        raise ValueError("a pax header has a size that is not a number")
    return int(described["size"])


def _exactly(stream: Readable, size: int) -> bytes:
    data = _up_to(stream, size)
    if len(data) < size:
        raise EOFError("it is cut")
    return data


def _up_to(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := stream.read(size - len(data))):
        data += chunk
    return data
