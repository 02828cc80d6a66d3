"""Checks the members of a `.keras` file, which is a zip, before Keras opens it.

Keras reads weights in NumPy's format with pickles allowed, whatever its safe mode, so such a file
is code. If there are assets, it unpacks the whole file into a temporary folder.
"""

import zipfile
from pathlib import Path

_PARTS = frozenset({"metadata.json", "config.json", "model.weights.h5"})
_ASSETS = "assets/"
_SMALL_BYTES = 4 << 30
"""Size, in bytes, that every file may unpack to."""
_MAX_RATIO = 100
"""Largest ratio of unpacked to packed bytes above `_SMALL_BYTES`."""


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
    if unpacked > max(_SMALL_BYTES, _MAX_RATIO * path.stat().st_size):
        return f"unpacks to {unpacked:,} bytes, more than {_MAX_RATIO} times its size"
    return ""


def _is_asset(name: str) -> bool:
    return name.startswith(_ASSETS) and ".." not in name.split("/")
