"""Archives of the output files of a training job's instances."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

from embedded.sagemaker.errors import JobFailure


def is_empty(folders: Mapping[str, Path]) -> bool:
    """Return whether no host has written to its folder."""
    return not any(_entries(folder) for folder in folders.values())


def pack(folders: Mapping[str, Path], archive: Path, shown: str) -> None:
    """Write the contents of all hosts' folders to one tar.gz.

    Args:
        folders: Folder per host.
        archive: File to write.
        shown: The folder's path in messages.

    Raises:
        JobFailure: Several hosts have written the same file; on AWS one of them would be lost.
    """
    owners: dict[str, str] = {}
    with tarfile.open(archive, "w:gz") as tar:
        for host, folder in folders.items():
            for path in _entries(folder):
                name = path.relative_to(folder).as_posix()
                is_folder = path.is_dir() and not path.is_symlink()
                if name in owners:
                    if is_folder:
                        continue
                    raise JobFailure(
                        f"ClientError: Artifact upload failed: {owners[name]} and {host} have both written {name} to "
                        f"{shown}: let one host write it, or give each host's file its own name"
                    )
                owners[name] = host
                tar.add(path, arcname=name, recursive=False, filter=_without_owner)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
