"""Artifacts: proven by size and SHA-256 first, opened afterwards."""

import errno
import hashlib
import tarfile
from pathlib import Path

from contract.layout import artifact_key
from contract.spec import ModelSpec
from scoring.errors import ConfigurationError, ModelError, one_line


def verify_artifacts(models_folder: Path, models: tuple[ModelSpec, ...]) -> None:
    """Check every model's artifact against its record and report all that differ at once.

    Raises ModelError.
    """
    problems = [problem for model in models if (problem := _difference(models_folder, model))]
    if problems:
        raise ModelError("; ".join(problems))


def extract_model(models_folder: Path, model: ModelSpec, target: Path) -> Path:
    """Unpack a verified artifact below `target` and return the path of its model file.

    Raises ModelError for an archive that is damaged, lacks the file or names paths or links outside of itself, and
    ConfigurationError when the disk is too small for it.
    """
    archive = models_folder / artifact_key(model.model_id, model.version)
    target.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            # "data" refuses absolute paths, links that lead outside, devices, and drops owners and special modes.
            tar.extractall(target, filter="data")
            names = sorted(member.name for member in tar.getmembers() if member.isfile())
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigurationError(
                f"model {model.model_id!r}: no room to unpack its artifact ({one_line(error)}): raise the job's volume "
                "size, or lower models_per_job"
            ) from error
        raise ModelError(
            f"model {model.model_id!r}: its artifact cannot be unpacked ({one_line(error)}): pack it again as a "
            "model.tar.gz of plain files and register a new version"
        ) from error
    path = target / model.model_file
    if not path.is_file() or not path.resolve().is_relative_to(target.resolve()):
        found = ", ".join(map(repr, names[:8])) or "no file"
        raise ModelError(
            f"model {model.model_id!r}: its artifact has no file {model.model_file!r}, it has {found}: correct "
            "model_file in the record"
        )
    return path


def _difference(models_folder: Path, model: ModelSpec) -> str | None:
    name = f"model {model.model_id!r} version {model.version!r}"
    path = models_folder / artifact_key(model.model_id, model.version)
    if not path.is_file():
        return f"{name}: its artifact is not among the job's inputs (expected {path}): check the models manifest"
    size = path.stat().st_size
    remedy = "the artifact was replaced after it was registered; register it as a new version"
    if size != model.artifact_bytes:
        return f"{name}: its artifact has {size:,} bytes, its record says {model.artifact_bytes:,}: {remedy}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.artifact_sha256:
        return f"{name}: its artifact has SHA-256 {digest}, its record says {model.artifact_sha256}: {remedy}"
    return None
