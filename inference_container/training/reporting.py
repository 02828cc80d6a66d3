"""Writes the failure file, which SageMaker passes on."""

from contract.container_paths import TrainingPaths
from contract.control_characters import replace_control_characters
from contract.status import FailureKind
from scoring.errors import log_error
from scoring.files.new_file import new_file

_CHARACTERS = 1_024
"""Number of characters of the failure file that SageMaker keeps."""
_ELLIPSIS = "…"


def failure_line(kind: FailureKind, text: str) -> str:
    """Return `KIND: text` as one line, short enough for SageMaker to keep all of it."""
    line = replace_control_characters(f"{kind.value}: {' '.join(text.split())}")
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - len(_ELLIPSIS)].rstrip() + _ELLIPSIS


def write_failure(paths: TrainingPaths, kind: FailureKind, text: str) -> None:
    """Write the failure file, which becomes the job's FailureReason.

    An error, such as of a full disk, is only logged.
    """
    try:
        with new_file(paths.failure) as file:
            file.write(failure_line(kind, text).encode())
    except OSError as error:
        log_error(error)
