"""A container image without Docker: its files, its settings, and the command of a container."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PYTHON = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
_ML_ROOT = "/opt/ml"


@dataclasses.dataclass(frozen=True)
class ProcessCommand:
    """The command, environment and working directory of the process that replaces a container."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    working_directory: Path


@dataclasses.dataclass(frozen=True)
class Image:
    """An image as its Dockerfile describes it. Its paths are inside the image; `command` maps them.

    `root` is the folder that holds the image's `/`. All containers of the image share it.
    """

    uri: str
    root: Path
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str
    labels: Mapping[str, str]

    def host_path(self, value: str, ml_root: Path | None = None) -> str:
        """Return this machine's path for an absolute path of the image; other texts unchanged."""
        if not value.startswith("/"):
            return value
        if value == "/":
            return str(self.root)
        inner = os.path.join(self.root, posixpath.normpath(value).lstrip("/"))  # noqa: PTH118 - 20 per job
        if os.path.lexists(inner):
            return inner
        if ml_root is not None and (value == _ML_ROOT or value.startswith(_ML_ROOT + "/")):
            return str(ml_root) + value[len(_ML_ROOT) :]
        return value

    def command(
        self,
        *,
        entrypoint: Sequence[str] | None = None,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        ml_root: Path | None = None,
        python: str = sys.executable,
    ) -> ProcessCommand:
        """Return how to start a container.

        Args:
            entrypoint: Replaces the image's entry point and arguments, as with `docker run`.
            arguments: Replace the image's arguments.
            environment: Added to the image's environment.
            ml_root: Folder to use as /opt/ml; None means /opt/ml itself.
            python: Interpreter to use instead of the image's Python.

        Raises:
            ValueError: There is no command to start.
        """
        if entrypoint is not None:
            argv = [*entrypoint, *(arguments or ())]
        else:
            argv = [*self.entrypoint, *(self.arguments if arguments is None else arguments)]
        if not argv:
            raise ValueError(f"image {self.uri!r} has neither ENTRYPOINT nor CMD: add one, or pass ContainerEntrypoint")
        mapped = [self.host_path(word, ml_root) for word in argv]
        if _PYTHON.fullmatch(argv[0]):
            mapped[0] = python
        variables = {**self.environment, **(environment or {})}
        variables = {name: self._map_list(value, ml_root) for name, value in variables.items()}
        variables["PATH"] = os.pathsep.join(
            [str(Path(python).parent), variables.get("PATH", ""), os.environ.get("PATH", "")]
        )
        own_modules = [p for p in variables.get("PYTHONPATH", "").split(os.pathsep) if p]
        variables["PYTHONPATH"] = os.pathsep.join([*own_modules, str(self.root.parent / "site")])
        working_directory = Path(self.host_path(self.working_directory, ml_root))
        return ProcessCommand(tuple(mapped), variables, working_directory)

    def _map_list(self, value: str, ml_root: Path | None) -> str:
        return ":".join(self.host_path(part, ml_root) for part in value.split(":"))
