"""Documents that are generated from the code are current."""

from pathlib import Path

import pytest

from cli.documents.reference import COMMAND, between_markers, generated

FOLDER = Path(__file__).parents[4] / "docs/reference"


@pytest.mark.parametrize("path", generated(FOLDER), ids=lambda path: path.name)
def test_generated_documents_are_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated(FOLDER)[path], f"Run: {COMMAND}"


def test_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        between_markers("# A model's record\n", "| Field |\n")
