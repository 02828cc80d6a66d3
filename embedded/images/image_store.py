"""Container images of one embedded AWS, by image URI.

The store is a folder. The processes of the server, the deployment and the stand-in for `docker`
share it. Every change is one rename, so readers never see an incomplete image.
"""

from __future__ import annotations

import compileall
import dataclasses
import functools
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded.faults import wrong_clock
from embedded.images.dockerfile import build
from embedded.images.image import Image

# Runs at the start of every Python process of an image. With an editable install of this project,
# the image's code could import modules that the Dockerfile does not copy, and the image would fail
# only on AWS.
_SITE_CUSTOMIZE = """\
import os
import site
import sys


def _hide_editable_installs():
    keep = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *site.getsitepackages()}
    keep.add(site.getusersitepackages())
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    roots = tuple(os.path.realpath(p) for p in [*keep, *own, os.getcwd()] if p)

    def inside(path):
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root + os.sep) for root in roots)

    stdlib = {os.path.dirname(os.__file__)}
    sys.path[:] = [p for p in sys.path if not p or p in stdlib or p.endswith(".zip") or inside(p)]
    editable = ("__editable__", "_editable")
    sys.meta_path[:] = [
        f for f in sys.meta_path if not (getattr(f, "__module__", "") or "").startswith(editable)
    ]
    sys.path_hooks[:] = [h for h in sys.path_hooks if not getattr(h, "__module__", "").startswith(editable)]


_hide_editable_installs()
if "EMBEDDED_AWS_CLOCK" in os.environ:
    import embedded_aws_clock

    embedded_aws_clock.follow(os.environ["EMBEDDED_AWS_CLOCK"])
"""


class ImageNotRegisteredError(LookupError):
    """No image has the URI. The text says how to register one."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"no image is registered as {uri!r}: deploy the app that has it as an asset, or call "
            "ImageStore.register(image_uri, directory, dockerfile)"
        )


class ImageStore:
    """All images of one embedded AWS, in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._images = root / "images"
        self._references = root / "references"
        for folder in (self._images, self._references):
            folder.mkdir(parents=True, exist_ok=True)

    def register(
        self,
        image_uri: str,
        directory: Path,
        dockerfile: str = "Dockerfile",
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        """Register the image of a Dockerfile under an image URI, and replace an older image.

        Args:
            image_uri: Name of the image, with or without a tag.
            directory: Build context.
            dockerfile: Path of the Dockerfile, relative to `directory`.
            arguments: Build arguments.

        Raises:
            DockerfileError: The Dockerfile has instructions that are not supported without Docker.

        Example::

            with EmbeddedAws() as aws:
                aws.images.register("123456789012.dkr.ecr.us-east-1.amazonaws.com/scoring:1",
                Path("image"))
        """
        with tempfile.TemporaryDirectory(dir=self._images, prefix=".building-") as building:
            whole = Path(building) / "image"
            settings = build(directory, directory / dockerfile, whole / "root", arguments)
            (whole / "site").mkdir()
            (whole / "site" / "sitecustomize.py").write_text(_SITE_CUSTOMIZE, encoding="utf-8")
            (whole / "site" / "embedded_aws_clock.py").write_bytes(Path(wrong_clock.__file__).read_bytes())
            (whole / "image.json").write_text(json.dumps(dataclasses.asdict(settings)), encoding="utf-8")
            identity = _digest(whole)
            # RUN is skipped, so compile the bytecode here. Otherwise each job would compile it
            # again.
            compileall.compile_dir(whole, quiet=2, stripdir=str(whole), prependdir=str(self._images / identity))
            _make_readable_for_all(whole)
            if not (self._images / identity).exists():
                try:
                    whole.rename(self._images / identity)
                except OSError:  # another process has registered the same image
                    if not (self._images / identity).exists():
                        raise
        self._point(image_uri, identity)

    def tag(self, source: str, target: str) -> None:
        """Register the image `source` under another name, too.

        Raises:
            ImageNotRegisteredError: No image is registered as `source`.
        """
        identity = self._identity(source)
        if identity is None:
            raise ImageNotRegisteredError(source)
        self._point(target, identity)

    def resolve(self, image_uri: str) -> Image | None:
        """Return the image of a URI, or None if none is registered. The default tag is `latest`."""
        identity = self._identity(image_uri)
        if identity is None:
            return None
        folder = self._images / identity
        settings = _settings_of(folder)
        return Image(
            uri=image_uri,
            root=folder / "root",
            entrypoint=tuple(settings["entrypoint"]),
            arguments=tuple(settings["command"]),
            environment=settings["environment"],
            working_directory=settings["working_directory"],
            labels=settings["labels"],
        )

    def _identity(self, image_uri: str) -> str | None:
        try:
            reference = json.loads(self._reference(image_uri).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return str(reference["image"])

    def _point(self, image_uri: str, identity: str) -> None:
        handle, name = tempfile.mkstemp(dir=self._references, prefix=".writing-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"uri": image_uri, "image": identity}, file)
        Path(name).replace(self._reference(image_uri))

    def _reference(self, image_uri: str) -> Path:
        name = image_uri if re.search(r"[:@][^/]*$", image_uri) else f"{image_uri}:latest"
        return self._references / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


@functools.lru_cache(maxsize=64)
def _settings_of(folder: Path) -> dict[str, Any]:
    """Return the settings of an image, whose folder never changes: its name is the digest of its files."""
    found: dict[str, Any] = json.loads((folder / "image.json").read_text(encoding="utf-8"))
    return found


def _make_readable_for_all(folder: Path) -> None:
    """Let every user read an image's files: containers may switch users."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.lstat().st_mode:o}\0".encode())
        if path.is_symlink():
            digest.update(str(path.readlink()).encode())
        elif path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
