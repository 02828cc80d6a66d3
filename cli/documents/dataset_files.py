"""Files on this machine that become objects of a dataset, with the checks of the plan."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.control_characters import has_lone_surrogate
from contract.dataset.formats import EXTENSIONS_TEXT, other_format
from contract.dataset.object_keys import COLLISION_EXPECTED, MAX_KEY_BYTES, check_key, colliding_keys, is_data
from contract.names import check_object_key
from contract.problems import InvalidInputError, Problem
from contract.triggers.uploads import MARKER_NAME

MAX_OBJECT_BYTES = 5 * 1024**4
"""Largest object that S3 accepts, in bytes."""
_SHOWN_NAMES = 10


@dataclass(frozen=True)
class DatasetFile:
    """A file, and the key relative to the dataset that its object has."""

    path: Path
    key: str
    size: int
    """Size in bytes."""


@dataclass(frozen=True)
class DatasetFiles:
    """The files of an upload, sorted by key."""

    files: tuple[DatasetFile, ...]
    hidden: tuple[str, ...]
    """Paths of files and folders whose names begin with a dot. They stay here."""

    @property
    def not_data(self) -> list[str]:
        """Keys that executions skip, such as `_SUCCESS`."""
        return [file.key for file in self.files if not is_data(file.key)]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def find_files(path: Path, dataset: str, folder: str) -> DatasetFiles:
    """Return the files of a path, with keys below `folder` of the dataset.

    A folder's files keep their paths relative to it. Files and folders whose names begin with a dot
    are left out, unless the path names one.

    Raises:
        InvalidInputError: with every file that cannot be uploaded, or that a plan would refuse.
    """
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    problems = check_object_key("--to", prefix.rstrip("/")) if prefix else []
    if not path.exists():
        problems.append(Problem("PATH", str(path), "a file or a folder that exists"))
    if problems:
        raise InvalidInputError("upload", problems)
    root = path.resolve()
    try:
        paths = [] if root.is_file() else list(_walk(root))
    except OSError as error:
        problem = Problem("PATH", str(error.filename), "a folder that can be read")
        raise InvalidInputError("upload", [problem]) from error
    found = [(file, file.relative_to(root).as_posix()) for file in paths]
    if root.is_file():
        found = [(root, path.absolute().name)]
    hidden = [name for file, name in found if file.name.startswith(".") and file != root]
    files: list[DatasetFile] = []
    for file, name in found:
        if name in hidden:
            continue
        wrong = _file_problems(file, name)
        wrong = wrong or _key_problems(name, prefix + name, dataset)
        problems += wrong
        if not wrong:
            files.append(DatasetFile(file, prefix + name, file.stat().st_size))
    if not found or (not files and not problems):
        expected = "a folder with files" if root.is_dir() else "a file or a folder"
        problems.append(Problem("PATH", str(path), expected, f"Left out: {', '.join(hidden)}." if hidden else ""))
    if colliding := colliding_keys([file.key for file in files if is_data(file.key)]):
        problems.append(
            Problem("names", ", ".join(colliding[:_SHOWN_NAMES]), COLLISION_EXPECTED, "Rename these files.")
        )
    if problems:
        raise InvalidInputError("upload", problems)
    return DatasetFiles(tuple(sorted(files, key=lambda file: file.key)), tuple(hidden))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every entry that is not a folder, and hidden folders, without entering links."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _file_problems(file: Path, name: str) -> list[Problem]:
    if file.is_symlink():
        remedy = "Copy what it points to into the folder, or upload that by its own path."
        return [Problem(name, "a symbolic link", "a file", remedy)]
    try:
        status = file.stat()
    except OSError as error:
        return [Problem(name, error.strerror or "an error", "a file that can be read")]
    if not stat.S_ISREG(status.st_mode):
        return [Problem(name, "a device, a pipe or a socket", "a file")]
    if not os.access(file, os.R_OK):
        return [Problem(name, "a file without read permission", "a file that you can read")]
    if status.st_size > MAX_OBJECT_BYTES:
        return [Problem(name, f"{status.st_size:,} bytes", f"at most {MAX_OBJECT_BYTES:,} bytes", "Split the file.")]
    return []


def _key_problems(name: str, key: str, dataset: str) -> list[Problem]:
    """Return why a plan would refuse the object; nothing for names that executions skip."""
    if has_lone_surrogate(key):
        return [Problem("name", name, "a name in UTF-8", "Rename the file.")]
    if key.rpartition("/")[2] == MARKER_NAME:
        remedy = "Leave the file out, and add --ready: it writes the marker when everything else is there."
        return [Problem(name, "the marker of a complete upload", "a file with data", remedy)]
    # The shortest keys of outputs, so that only what every plan refuses is refused here.
    outputs = layout.model_outputs_prefix("predictions", dataset, "e", "m", "m")
    if problems := check_key(name, key, MAX_KEY_BYTES - len(outputs.encode())):
        return problems
    if is_data(key) and (other := other_format(key)):
        expected = f"a file that ends in {EXTENSIONS_TEXT}, or whose content says the format"
        return [Problem(name, f"the name of {other}", expected, "Convert it, or leave it out: a plan refuses it.")]
    return []
