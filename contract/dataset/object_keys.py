"""Keys of a dataset's objects: which are data, and which no job can score."""

from collections import Counter
from collections.abc import Iterator, Sequence

from contract import layout
from contract.names import check_object_key
from contract.problems import Problem

MAX_KEY_BYTES = 1_024
"""Longest key that S3 accepts, in bytes."""
OUTPUT_SUFFIXES = tuple(layout.OUTPUT_SUFFIXES.values())
"""Suffixes that follow an object's key in the names of its outputs."""
MAX_NAME_BYTES = 255 - max(map(len, OUTPUT_SUFFIXES)) - len(layout.unfinished_name(""))
"""Longest part of a key between two "/", in bytes. The container uses the part as a file name with
suffixes, one of which marks an unfinished file.
"""

COLLISION_EXPECTED = (
    f"no object whose key, alone or followed by one of {', '.join(OUTPUT_SUFFIXES)}, is a folder of other objects, and "
    "no two objects with the same output"
)
"""What keys that `colliding_keys` returns should be, in words."""
_FOLDER_MARKER = "_$folder$"
"""End of the keys with which Hadoop and EMR mark a folder."""


def is_data(key: str) -> bool:
    """Return whether an object is data, by its key relative to the dataset.

    Folder placeholders are not data: keys that end in "/" or, as Hadoop writes them, in
    "_$folder$". Nor are objects whose name, or one of whose folders, begins with "_" or ".". Spark
    and Hive skip them too, because writers use such names for uncommitted files.

    >>> is_data("day=1/part-0.parquet"), is_data("_SUCCESS"), is_data("_temporary/0/part-0.parquet")
    (True, False, False)
    """
    *folders, name = key.split("/")
    # A folder such as `_year=2013` is a partition whose column has that name.
    hidden = any(folder.startswith((".", "_")) and "=" not in folder for folder in folders if folder not in (".", ".."))
    return bool(name) and not name.startswith(("_", ".")) and not name.endswith(_FOLDER_MARKER) and not hidden


def check_key(field: str, key: str, max_bytes: int) -> list[Problem]:
    """Check that a key can be a path in the container, and that the keys of its outputs fit into S3."""
    if problems := check_object_key(field, key):
        return problems
    if len(key.encode()) > max_bytes:
        expected = f"at most {max_bytes} bytes, so that its predictions' key fits into {MAX_KEY_BYTES:,} bytes"
        return [Problem(field, key, expected, "Give the object a shorter name.")]
    if max(len(part.encode()) for part in key.split("/")) > MAX_NAME_BYTES:
        expected = f"at most {MAX_NAME_BYTES} bytes between two '/', because it becomes a file name"
        return [Problem(field, key, expected, "Give the object a shorter name.")]
    return []


def colliding_keys(keys: Sequence[str]) -> list[str]:
    """Return the keys whose files would collide in the container or in S3, sorted.

    The key of an object or of an output may also be a folder of other objects. Or two objects would
    have the same output: `a.csv` and `a.csv.parquet` both have `a.csv.parquet`.
    """
    files = {key + suffix: key for key in keys for suffix in ("", *OUTPUT_SUFFIXES)}
    folders = {folder for key in keys for folder in _folders(key)}
    shared = {key for output_format in layout.OUTPUT_SUFFIXES for key in _keys_with_shared_output(keys, output_format)}
    return sorted({files[name] for name in folders & files.keys()} | shared)


def _folders(key: str) -> Iterator[str]:
    """Return the folders of a key, innermost first.

    >>> list(_folders("2026/07/a.csv"))
    ['2026/07', '2026']
    """
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


def _keys_with_shared_output(keys: Sequence[str], output_format: str) -> list[str]:
    names = Counter(layout.output_name(key, output_format) for key in keys)
    return [key for key in keys if names[layout.output_name(key, output_format)] > 1]
