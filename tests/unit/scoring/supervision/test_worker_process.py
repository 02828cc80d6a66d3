"""A worker's exit code decides the kind and text of its failure."""

import signal

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.protocol import ScoreObject
from scoring.supervision.worker_process import explain_exit

TASKS = [ScoreObject(PinnedObject(key, 1, "etag"), 1) for key in ("a", "b")]


@pytest.mark.parametrize(
    ("code", "running", "kind", "text"),
    [
        (-signal.SIGKILL, 1, "TRANSIENT", "a worker was killed (SIGKILL) while scoring object 'a', most likely out of"),
        (
            -signal.SIGTERM,
            2,
            "TRANSIENT",
            "another process stopped a worker (SIGTERM) while scoring objects 'a' and 'b'",
        ),
        (-signal.SIGABRT, 1, "MODEL", "a model crashed its worker process (SIGABRT) while scoring object 'a'"),
        (-63, 1, "MODEL", "crashed its worker process (signal 63)"),
        (0, 0, "MODEL", "crashed its worker process (exit code 0) while loading the models"),
    ],
)
def test_exit_code_is_explained(code: int, running: int, kind: str, text: str) -> None:
    error = explain_exit(code, TASKS[:running])
    assert error.kind is FailureKind(kind)
    assert text in error.text
