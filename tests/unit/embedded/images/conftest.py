"""A build context and an image store to register it in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.images.image import Image
from embedded.images.image_store import ImageStore

RegisterImage = Callable[..., Image]
URI = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/repository:tag"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    for name in ("app/main.py", "app/deep/data.txt", "lib/tool.py", "notes.md"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


@pytest.fixture
def register(context: Path, store: ImageStore) -> RegisterImage:
    """Register the image of a Dockerfile with the given lines, and return it."""

    def register(*lines: str) -> Image:
        (context / "Dockerfile").write_text("\n".join(lines))
        store.register(URI, context)
        image = store.resolve(URI)
        assert image is not None
        return image

    return register
