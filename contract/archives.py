"""Reads and unpacks tar.gz archives from untrusted sources.

`tarfile`'s own filters are not used: in several releases of Python a chain of links leads their
checks outside the target folder (CVE-2025-4517). Here an archive has regular files and folders
only, so no path can be redirected.
"""

import contextlib
import errno
import gzip
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from contract.tar_members import ArchiveError, Readable, members, refusing_damage

MAX_MEMBERS = 50_000
"""Largest number of files and folders in an archive."""
MAX_BYTES = 64 << 30
"""Largest size of all files of an archive together, in bytes."""
_SMALL_BYTES = 4 << 30
"""Size, in bytes, that every archive may unpack to, however small it is."""
_MAX_RATIO = 100
"""Largest ratio of unpacked to packed bytes above `_SMALL_BYTES`; zeros compress 1,000 to 1."""
_MAX_NAME_BYTES = 1_024
_MAX_PART_BYTES = 255
_OVERHEAD_BYTES = 1 << 30
"""Largest size of all headers and padding of an archive together, in bytes."""
_CHUNK_BYTES = 1 << 20
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


class NoRoomError(Exception):
    """The disk is too small for the archive's content."""


@dataclass(frozen=True)
class Member:
    """A regular file of an archive. `content` can be read until the next member is requested."""

    name: str
    """Relative path without `.` and `..`."""
    size: int
    content: Readable


def list_files(
    archive: Path | BinaryIO, *, on_file: Callable[[Member], object] = lambda member: None
) -> dict[str, int]:
    """Return the sizes in bytes of an archive's files, by path. The whole archive is read.

    `on_file` is called with each file, whose content it may read.

    Raises ArchiveError.
    """
    sizes: dict[str, int] = {}
    with _opened(archive) as (stream, packed_bytes):
        for member in read_files(stream, max_bytes=_archive_limit(packed_bytes)):
            sizes[member.name] = member.size
            on_file(member)
    return sizes


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack an archive into a new or empty folder, and return the sorted paths of its files.

    All users can read the files, and only the owner can change them.

    Raises ArchiveError or NoRoomError.
    """
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(_FOLDER_MODE)
    root = target.resolve()
    names: list[str] = []
    try:
        with _opened(archive) as (stream, packed_bytes):
            for member in read_files(
                stream, max_bytes=_archive_limit(packed_bytes), on_folder=lambda name: _make_folder(root, name)
            ):
                _write(root, member)
                names.append(member.name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomError(str(error)) from error
        raise ArchiveError(f"it cannot be unpacked here ({error})") from error
    return sorted(names)


def read_files(
    packed: Readable,
    *,
    max_bytes: int = MAX_BYTES,
    max_members: int = MAX_MEMBERS,
    on_folder: Callable[[str], object] = lambda name: None,
) -> Iterator[Member]:
    """Yield the regular files of a gzip-compressed tar archive, which is read to its end.

    `on_folder` is called with the path of each folder that is a member of its own.

    Raises:
        ArchiveError: The archive is damaged or too large, or a member is refused: a link, a device,
            or a path that is absolute, too long, repeated, below a file or contains `..`.
    """
    seen: dict[str, bool] = {}
    total = 0
    with contextlib.closing(gzip.GzipFile(fileobj=cast("Any", packed), mode="rb")) as unzipped:
        stream = _Limited(unzipped, max_bytes + _OVERHEAD_BYTES)
        with refusing_damage():
            for count, (information, content) in enumerate(members(stream), start=1):
                if count > max_members:
                    raise ArchiveError(f"it has more than {max_members:,} files and folders: pack fewer, larger files")
                name = _checked_name(information)
                if not name:
                    continue
                _check_place(name, seen, is_file=information.isreg())
                if information.isdir():
                    on_folder(name)
                    continue
                total += information.size
                if total > max_bytes:
                    raise ArchiveError(
                        f"its files have more than {max_bytes:,} bytes when member {information.name!r} is unpacked: "
                        "pack less data, or data that compresses less"
                    )
                yield Member(name, information.size, content)
            # gzip compares its checksum at the end of the stream only.
            while stream.read(_CHUNK_BYTES):
                pass


class _Limited:
    """A stream that refuses to give more than `limit` bytes."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise ArchiveError(f"it unpacks to more than {self._limit:,} bytes: pack less data")
        return chunk


_REFUSED_TYPES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_REMEDIES = {
    tarfile.SYMTYPE: "pack the file itself, for example with tar --dereference",
    tarfile.LNKTYPE: "pack each file once, for example with tar --hard-dereference",
    tarfile.GNUTYPE_SPARSE: "pack it without --sparse",
}


def _checked_name(information: tarfile.TarInfo) -> str:
    """Return a member's relative path, or "" for the archive's root folder.

    Raises ArchiveError for a type or path that is refused.
    """
    shown = f"member {information.name[:200]!r}"
    kind = information.type
    if kind not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        what = _REFUSED_TYPES.get(kind, f"of type {kind!r}")
        raise ArchiveError(f"{shown} is {what}, expected only files and folders: {_REMEDIES.get(kind, 'leave it out')}")
    name = information.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise ArchiveError(
            f"{shown} leads outside the archive's folder: pack relative paths without '..', for example with tar -C"
        )
    try:
        encoded = [os.fsencode(part) for part in parts]
    except UnicodeEncodeError:
        raise ArchiveError(f"{shown} has a name that cannot be a file name: rename it") from None
    if "\0" in name:
        raise ArchiveError(f"{shown} has a name that cannot be a file name: rename it")
    if len("/".join(parts).encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES or any(
        len(part) > _MAX_PART_BYTES for part in encoded
    ):
        raise ArchiveError(
            f"{shown} has a path that is too long, at most {_MAX_NAME_BYTES:,} bytes and {_MAX_PART_BYTES} per name: "
            "shorten it"
        )
    return "/".join(parts)


def _check_place(name: str, seen: dict[str, bool], *, is_file: bool) -> None:
    """Refuse a path that comes twice, or that is below a file.

    `seen` says which paths are files.
    """
    again = "pack each path once"
    if name in seen and (is_file or seen[name]):
        raise ArchiveError(f"member {name!r} comes twice: {again}")
    parent, slash, _ = name.rpartition("/")
    while slash:
        if seen.get(parent):
            raise ArchiveError(f"member {name!r} is below {parent!r}, which is a file: {again}")
        if parent in seen:
            break
        seen[parent] = False
        parent, slash, _ = parent.rpartition("/")
    seen[name] = is_file


def unpacked_limit(packed_bytes: int) -> int:
    """Return the size in bytes that a file of `packed_bytes` may unpack to."""
    return max(_SMALL_BYTES, _MAX_RATIO * packed_bytes)


def _archive_limit(packed_bytes: int) -> int:
    return min(MAX_BYTES, unpacked_limit(packed_bytes))


@contextlib.contextmanager
def _opened(archive: Path | BinaryIO) -> Iterator[tuple[BinaryIO, int]]:
    """Yield the archive's stream and size. Raises ArchiveError if it cannot be read."""
    if not isinstance(archive, Path):
        packed_bytes = archive.seek(0, os.SEEK_END)
        archive.seek(0)
        yield archive, packed_bytes
        return
    try:
        file = archive.open("rb")
    except OSError as error:
        raise ArchiveError(f"it cannot be read ({error})") from error
    with file:
        yield file, os.fstat(file.fileno()).st_size


def _make_folder(root: Path, name: str) -> Path:
    """Create a folder and its parents below `root`, and return its path."""
    folder = root
    for part in filter(None, name.split("/")):
        folder = folder / part
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(_FOLDER_MODE)
    # The rules above already prevent links; this check holds even if one of them has a gap.
    if folder != root and folder.resolve() != folder:
        raise ArchiveError(f"member {name!r} leads outside the archive's folder: pack the archive again")
    return folder


def _write(root: Path, member: Member) -> None:
    parent, _, base = member.name.rpartition("/")
    path = _make_folder(root, parent) / base
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, _FILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        shutil.copyfileobj(cast("Any", member.content), file, _CHUNK_BYTES)
