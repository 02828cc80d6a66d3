"""Checks the members of a `.keras` file, which is a zip, before Keras opens it.

Keras reads weights in NumPy's format with pickles allowed, whatever its safe mode, so such a file
is code. If there are assets, it unpacks the whole file into a temporary folder.
"""

import zipfile
from pathlib import Path

from contract.archives import unpacked_limit

_PARTS = frozenset({"metadata.json", "config.json", "model.weights.h5"})
_ASSETS = "assets/"


def zip_problem(path: Path) -> str:
    """Return why a file is refused; empty if it is not, or if it is no zip, which Keras refuses."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [item.filename for item in members]
    unknown = [name for name in names if name not in _PARTS and not _is_asset(name)]
    if unknown:
        return f"has a part {unknown[0][:200]!r}, expected only {', '.join(sorted(_PARTS))} and {_ASSETS}"
    unpacked = sum(item.file_size for item in members)
    limit = unpacked_limit(path.stat().st_size)
    if unpacked > limit:
        return f"unpacks to {unpacked:,} bytes, at most {limit:,} are read for its size"
    return ""


def _is_asset(name: str) -> bool:
    return name.startswith(_ASSETS) and ".." not in name.split("/")
