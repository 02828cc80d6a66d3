"""Models that score with their artifact's `code/inference.py`, as in SageMaker."""

from pathlib import Path, PurePosixPath

from contract.catalog.model_spec import ModelSpec

CODE_FILE = "code/inference.py"


def archive_root(spec: ModelSpec, path: Path) -> Path:
    """Return the folder of the unpacked artifact, SageMaker's `model_dir`."""
    return path.parents[len(PurePosixPath(spec.model_file).parts) - 1]


def note_ignored_code(spec: ModelSpec, path: Path) -> list[str]:
    """Return a note if the artifact has code that was not run."""
    if spec.custom_code or not (archive_root(spec, path) / CODE_FILE).is_file():
        return []
    return [f"its artifact has {CODE_FILE}, which was not run: custom_code is false in its record"]
