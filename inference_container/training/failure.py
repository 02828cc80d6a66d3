"""The failure file: SageMaker's FailureReason, and so what the workflow and people read first."""

from contract.layout import TrainingPaths
from contract.status import FailureKind

_CHARACTERS = 1_024
"""What SageMaker keeps of the file."""
_ELLIPSIS = "…"


def compose(kind: FailureKind, text: str) -> str:
    """`KIND: text` as one line that SageMaker keeps whole."""
    line = f"{kind.value}: {' '.join(text.split())}".encode("utf-8", "replace").decode("utf-8")
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - len(_ELLIPSIS)].rstrip() + _ELLIPSIS


def write(paths: TrainingPaths, kind: FailureKind, text: str) -> None:
    paths.failure.parent.mkdir(parents=True, exist_ok=True)
    paths.failure.write_text(compose(kind, text), encoding="utf-8")
