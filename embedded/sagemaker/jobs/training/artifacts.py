"""Archives of what all instances of a training job leave."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

from embedded.sagemaker.errors import JobFailure


def is_empty(folders: Mapping[str, Path]) -> bool:
    return not any(_entries(folder) for folder in folders.values())


def pack(folders: Mapping[str, Path], archive: Path, shown: str) -> None:
    """Put the contents of each host's folder into one tar.gz.

    Raises JobFailure when several hosts have written the same file: on the service one of them would get lost.
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
                        f"{shown}: let one host write it, or give each host's file a name of its own"
                    )
                owners[name] = host
                tar.add(path, arcname=name, recursive=False, filter=_without_owner)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
