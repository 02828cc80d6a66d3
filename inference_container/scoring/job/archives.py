"""Hashes and safely unpacks archives from untrusted sources."""

import errno
import hashlib
import tarfile
from pathlib import Path

from scoring.errors import one_line


class NoRoomError(Exception):
    """The disk is too small for the archive's content."""


class DamagedArchiveError(Exception):
    """Not an archive, a damaged one, or one with paths or links that lead outside it."""


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack an archive into a new folder and return the sorted names of its files.

    Raises NoRoomError or DamagedArchiveError with the reason.
    """
    target.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            # The "data" filter refuses absolute paths, links that lead outside and devices, and
            # drops owners and special modes.
            tar.extractall(target, filter="data")
            return sorted(member.name for member in tar.getmembers() if member.isfile())
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomError(one_line(error)) from error
        raise DamagedArchiveError(one_line(error)) from error
