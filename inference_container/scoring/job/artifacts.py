"""Verifies artifacts by size and SHA-256, then unpacks them."""

import hashlib
from pathlib import Path

from contract.archives import NoRoomError, unpack
from contract.catalog.model_spec import ModelSpec
from contract.layout import artifact_key
from contract.tar_members import ArchiveError
from scoring.errors import MORE_ROOM, ConfigurationError, ModelError
from scoring.job.input_files import files_below, raise_if_unknown


def verify_artifacts(models_folder: Path, models: tuple[ModelSpec, ...]) -> None:
    """Compare every model's artifact with its record.

    Raises ModelError naming all that differ, and ConfigurationError when there are other files instead.
    """
    expected = [artifact_key(model.model_id, model.version) for model in models]
    if not any((models_folder / key).is_file() for key in expected):
        raise_if_unknown(models_folder, files_below(models_folder), expected)
    problems = [problem for model in models if (problem := _difference(models_folder, model))]
    if problems:
        raise ModelError("; ".join(problems))


def extract_model(models_folder: Path, model: ModelSpec, target: Path) -> Path:
    """Unpack a verified artifact below `target` and return the path of its model file.

    Raises ModelError if the archive is damaged, lacks the file, or has members that are refused.
    Raises ConfigurationError if the disk is too small.
    """
    archive = models_folder / artifact_key(model.model_id, model.version)
    try:
        names = unpack(archive, target)
    except NoRoomError as error:
        raise ConfigurationError(
            f"model {model.model_id!r}: no room to unpack its artifact ({error}): {MORE_ROOM}, or lower models_per_job"
        ) from error
    except ArchiveError as error:
        raise ModelError(
            f"model {model.model_id!r}: its artifact cannot be unpacked ({error}): pack it again as a model.tar.gz of "
            "plain files and register a new version"
        ) from error
    path = target / model.model_file
    if not path.is_file() or not path.resolve().is_relative_to(target.resolve()):
        found = ", ".join(map(repr, names[:8])) or "no file"
        raise ModelError(
            f"model {model.model_id!r}: its artifact has no file {model.model_file!r}, it has {found}: correct "
            "model_file in the record"
        )
    return path


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(models_folder: Path, model: ModelSpec) -> str | None:
    name = f"model {model.model_id!r} version {model.version!r}"
    path = models_folder / artifact_key(model.model_id, model.version)
    if not path.is_file():
        return f"{name}: its artifact is not among the job's inputs (expected {path}): check the models manifest"
    size = path.stat().st_size
    remedy = "it was replaced after it was registered: find out by whom, and restore the earlier version of the object"
    if size != model.artifact_bytes:
        return f"{name}: its artifact has {size:,} bytes, its record says {model.artifact_bytes:,}: {remedy}"
    digest = sha256_of(path)
    if digest != model.artifact_sha256:
        return f"{name}: its artifact has SHA-256 {digest}, its record says {model.artifact_sha256}: {remedy}"
    return None
