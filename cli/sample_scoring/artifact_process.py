"""The container's code over one artifact, in a process: its feature names, or whether its record fits."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from cli.documents.artifact import check_model_file, unreadable_artifact
from cli.documents.model_document import ModelDocument
from cli.sample_scoring.container_process import require_container_code, run_container_code
from contract import codec
from contract.archives import NoRoomError, unpack
from contract.catalog.model_formats import ModelFormat
from contract.catalog.model_spec import ModelSpec
from contract.json_text import parse_json
from contract.problems import InvalidInputError, Problem
from contract.tar_members import ArchiveError

_LIBRARIES: dict[ModelFormat, str] = {
    "xgboost-json": "xgboost",
    "xgboost-ubj": "xgboost",
    "xgboost-sklearn-json": "xgboost",
    "xgboost-sklearn-ubj": "xgboost",
    "lightgbm-text": "lightgbm",
    "catboost-cbm": "catboost",
    "onnx": "onnxruntime",
}
"""Modules of the libraries that load models without running code of them, by format."""


def read_artifact(
    artifact: Path, declared: ModelFormat, model_file: str, spec: ModelSpec | None = None
) -> dict[str, Any]:
    """Return the answer of `scoring.artifact_features` about an artifact, or `error`.

    Raises:
        InvalidInputError: when the archive cannot be unpacked or lacks the model's file.
    """
    require_container_code()
    with tempfile.TemporaryDirectory(prefix="fleetscore-artifact-") as folder:
        root = Path(folder)
        unpacked, answer, record = root / "model", root / "answer.json", root / "record.json"
        try:
            files = unpack(artifact, unpacked)
        except (ArchiveError, NoRoomError) as error:
            raise InvalidInputError("model", [unreadable_artifact(artifact, error)]) from error
        if problems := check_model_file(model_file, files):
            raise InvalidInputError("model", problems)
        arguments = [declared, str(unpacked / model_file), str(answer)]
        if spec is not None:
            record.write_text(codec.dumps(spec), encoding="utf-8")
            arguments.append(str(record))
        ended = run_container_code("scoring.artifact_features", arguments, root=root)
        found: dict[str, Any] = {"error": f"exit code {ended.returncode}: {ended.stderr[-500:]}"}
        return parse_json(answer.read_bytes()) if answer.is_file() else found


def check_record(artifact: Path, document: ModelDocument) -> list[Problem]:
    """Load a model as a job does, if that runs no code of it and its library is installed; return what a job would
    refuse.
    """
    library = _LIBRARIES.get(document.format)
    if library is None or document.custom_code or not all(map(importlib.util.find_spec, ("scoring", "numpy", library))):
        return []
    spec = document.model_version(document.version or "1", "0" * 64, 0).spec
    found = read_artifact(artifact, document.format, document.model_file, spec)
    why = found.get("problem") or found.get("error")
    if not why:
        return []
    return [Problem("model_file", document.model_file, f"a model that a job can load with this record ({why})")]
