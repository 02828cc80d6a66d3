"""Archives of other people: their digest, and how they are unpacked so that they do no harm."""

import errno
import hashlib
import tarfile
from pathlib import Path

from scoring.errors import one_line


class NoRoomError(Exception):
    """The disk is too small for what is in the archive."""


class DamagedArchiveError(Exception):
    """It is no archive, a damaged one, or one that names paths or links outside of itself."""


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack an archive into a new folder; the names of the files in it, in order.

    Raises NoRoomError and DamagedArchiveError, each with the reason.
    """
    target.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            # "data" refuses absolute paths, links that lead outside, devices, and drops owners and special modes.
            tar.extractall(target, filter="data")
            return sorted(member.name for member in tar.getmembers() if member.isfile())
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomError(one_line(error)) from error
        raise DamagedArchiveError(one_line(error)) from error
