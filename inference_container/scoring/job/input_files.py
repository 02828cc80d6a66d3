"""Finds the files of an input whose objects a manifest lists.

AWS does not document where it puts such files: relative to the manifest's prefix, or below the
object's full key. The plan's manifests begin at the bucket's root, where both are the same. Files
relative to the dataset, as `fleetscore models test` lays them out, are accepted too.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from contract.job.scoring_spec import PinnedObject
from contract.layout import MANIFEST_SUFFIX, dataset_prefix
from scoring.errors import ConfigurationError

_REMEDY = (
    "compare these paths with the input's manifest; if it names the right objects, SageMaker lays out files in a way "
    "that this release does not know, so report it"
)
_SHOWN_FILES = 3
_SHOWN_CHARACTERS = 120
"""Longest path in a message, which has about 1,000 characters."""


@dataclass(frozen=True)
class InputFiles:
    """The files of one input."""

    root: Path
    """Folder below which an object's file has the object's key as its path."""
    objects: tuple[PinnedObject, ...]
    """The objects that have a file."""
    others: tuple[str, ...]
    """Paths of all other files, relative to the input's folder."""

    def path(self, item: PinnedObject) -> Path:
        return self.root / item.key


def find_input_files(folder: Path, dataset: str, objects: Iterable[PinnedObject]) -> InputFiles:
    """Return which of the dataset's objects have a file below `folder`.

    The objects are not kept, because a shard may have a small part of millions.

    Raises ConfigurationError when there are files but none of these objects has one, or when some
    objects have a file below their full key and others relative to the dataset.
    """
    paths = files_below(folder)
    prefix = dataset_prefix(dataset)
    full: dict[str, PinnedObject] = {}
    relative: dict[str, PinnedObject] = {}
    example = ""
    for item in objects:
        example = example or prefix + item.key
        if (path := prefix + item.key) in paths:
            full[path] = item
        if item.key in paths:
            relative[item.key] = item
    # A key may begin with the dataset's name.
    relative = {path: item for path, item in relative.items() if path not in full}
    if full and relative:
        raise ConfigurationError(
            f"input {folder.name!r} has files in two layouts, {_shown(full)} below their full key and "
            f"{_shown(relative)} relative to the dataset, expected one of them: {_REMEDY}"
        )
    found = full or relative
    others = sorted(paths - found.keys())
    if not found:
        raise_if_unknown(folder, others, [example] if example else [])
    return InputFiles(folder / prefix if full else folder, tuple(found.values()), tuple(others))


def raise_if_unknown(folder: Path, others: Iterable[str], expected: Collection[str]) -> None:
    """Raise ConfigurationError if there are files, none of which is expected.

    The manifest itself may be among the files. Then an instance without objects has this file only.
    """
    unknown = [path for path in others if not path.endswith(MANIFEST_SUFFIX)]
    if unknown and expected:
        raise ConfigurationError(
            f"input {folder.name!r} has {len(unknown):,} files, none of which the job expects: it has "
            f"{_shown(unknown)}, expected files such as {_shown(expected)}: {_REMEDY}"
        )


def files_below(folder: Path) -> set[str]:
    """Return the paths of all files below a folder, relative to it."""
    return {
        (Path(parent) / name).relative_to(folder).as_posix() for parent, _, names in os.walk(folder) for name in names
    }


def _shown(paths: Collection[str]) -> str:
    first = sorted(paths)[:_SHOWN_FILES]
    shown = [repr(path if len(path) <= _SHOWN_CHARACTERS else f"…{path[-_SHOWN_CHARACTERS:]}") for path in first]
    more = f" and {len(paths) - len(first):,} more" if len(paths) > len(first) else ""
    return ", ".join(shown) + more
