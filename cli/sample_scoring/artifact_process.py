"""The container's code over one artifact, in a process: the names of its features."""

import tempfile
from pathlib import Path
from typing import Any

from cli.documents.artifact import lacks_room, unpack_artifact
from cli.sample_scoring.container_process import require_container_code, run_container_code
from contract.archives import NoRoomError
from contract.catalog.model_formats import ModelFormat
from contract.json_text import parse_json
from contract.problems import InvalidInputError


def read_artifact(artifact: Path, declared: ModelFormat, model_file: str) -> dict[str, Any]:
    """Return the answer of `scoring.artifact_features` about an artifact, or `error`.

    Raises:
        InvalidInputError: when the archive cannot be unpacked or lacks the model's file.
    """
    require_container_code()
    with tempfile.TemporaryDirectory(prefix="fleetscore-artifact-") as folder:
        root = Path(folder)
        unpacked, answer = root / "model", root / "answer.json"
        try:
            problems = unpack_artifact(artifact, unpacked, model_file)
        except NoRoomError as error:
            problems = [lacks_room(artifact, error)]
        if problems:
            raise InvalidInputError("model", problems)
        arguments = [declared, str(unpacked / model_file), str(answer)]
        ended = run_container_code("scoring.artifact_features", arguments, root=root)
        found: dict[str, Any] = {"error": f"exit code {ended.returncode}: {ended.stderr[-500:]}"}
        return parse_json(answer.read_bytes()) if answer.is_file() else found
