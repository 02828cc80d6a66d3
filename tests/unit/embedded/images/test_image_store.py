"""Images are found by their URI, and change as a whole."""

from pathlib import Path

import pytest

from embedded.images.image_store import ImageNotRegisteredError, ImageStore
from tests.unit.embedded.images.conftest import URI, RegisterImage


def test_images_are_found_by_each_name_from_any_process(
    register: RegisterImage, store: ImageStore, tmp_path: Path
) -> None:
    image = register("FROM x", "COPY notes.md /")
    store.tag(URI, "local")
    other = ImageStore(tmp_path / "store")
    for name in ("local", "local:latest"):
        found = other.resolve(name)
        assert found is not None
        assert found.root == image.root
    assert other.resolve("unknown") is None
    with pytest.raises(ImageNotRegisteredError, match=r"no image is registered as 'unknown'.*ImageStore\.register"):
        store.tag("unknown", "x")


def test_registering_again_replaces_the_image(register: RegisterImage, context: Path, tmp_path: Path) -> None:
    first = register("FROM x", "COPY notes.md /")
    (context / "notes.md").write_text("new")
    second = register("FROM x", "COPY notes.md /")
    assert (second.root / "notes.md").read_text() == "new"
    assert (first.root / "notes.md").read_text() == "# notes.md\n"
    assert register("FROM x", "COPY notes.md /").root == second.root
    assert len(list((tmp_path / "store/images").iterdir())) == 2
