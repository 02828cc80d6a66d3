"""A worker's exit code decides the kind and text of its failure; what it sends is read message by message."""

import os
import signal
from types import SimpleNamespace

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.protocol import InvalidEventError, ObjectWritten, ScoreObject, encode
from scoring.supervision.worker_process import WorkerProcess, explain_exit

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


def test_messages_before_an_invalid_one_are_returned() -> None:
    """They may have arrived together, and are about an object that the invalid one must not fail."""
    honest = ObjectWritten("honest.parquet", "0", 1, 0.5)
    reading, writing = os.pipe()
    os.write(writing, encode(honest) + b"garbage\n")
    os.close(writing)
    worker = WorkerProcess.__new__(WorkerProcess)
    with os.fdopen(reading, "rb") as pipe:
        worker._process = SimpleNamespace(stdout=pipe)  # type: ignore[assignment]
        worker._received = bytearray()
        events = worker.receive()
    assert events is not None
    assert next(events) == honest
    with pytest.raises(InvalidEventError):
        next(events)
