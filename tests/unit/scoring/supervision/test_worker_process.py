"""What a worker's exit code means."""

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
        (-signal.SIGTERM, 2, "TRANSIENT", "ended from outside (SIGTERM) while scoring objects 'a' and 'b'"),
        (-signal.SIGABRT, 1, "MODEL", "a model took its worker process down (SIGABRT) while scoring object 'a'"),
        (-63, 1, "MODEL", "took its worker process down (signal 63)"),
        (0, 0, "MODEL", "took its worker process down (exit code 0) while loading the models"),
    ],
)
def test_exit_code_is_explained(code: int, running: int, kind: str, text: str) -> None:
    error = explain_exit(code, TASKS[:running])
    assert error.kind is FailureKind(kind)
    assert text in error.text
