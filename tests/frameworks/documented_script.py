"""Extracts the training scripts and the recipe from docs/learn/training-script.md."""

import json
from pathlib import Path
from typing import Any

from contract.catalog.model_formats import Framework

_DOCUMENT = Path(__file__).parents[2] / "docs/learn/training-script.md"
LABEL = "late"


def script(framework: Framework) -> str:
    """Return a whole `train.py`: the data, the framework's part, and the metrics."""
    data, pytorch, tensorflow, metrics = _blocks("python")
    return "\n".join([data, {"pytorch": pytorch, "tensorflow": tensorflow}[framework], metrics])


def recipe() -> dict[str, Any]:
    [shown] = _blocks("json")
    found: dict[str, Any] = json.loads(shown)
    return found


def _blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in _DOCUMENT.read_text().split(f"```{language}\n")[1:]]
