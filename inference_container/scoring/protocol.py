"""What the supervisor and its workers say to each other: one JSON line a message, over the worker's pipes.

Everything is flat text and numbers, so that no exception of a model's library has to be loaded by the supervisor,
which never imports one.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.catalog.model_spec import ModelSpec
from contract.codec import from_json, to_json
from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs before its first object; `model_files` are local paths in the order of `models`."""

    execution_id: str
    job_id: str
    dataset: str
    batch_rows: int
    scratch: str
    models: tuple[ModelSpec, ...]
    model_files: tuple[str, ...]


def worker_scratch(setup: WorkerSetup, pid: int) -> Path:
    """A folder of one worker's own: another one may score another object under the same names."""
    return Path(setup.scratch) / f"worker-{pid}"


@dataclass(frozen=True)
class ScoreObject:
    """Score one object with at most this many threads."""

    object: PinnedObject
    threads: int
    batch_rows: int = 0
    """Less than the job says after a worker died of it; 0: as the job says."""
    after: int = 0
    """Begin when the worker has computed so many tasks since its start: no need to wait for word of what is next."""


@dataclass(frozen=True)
class ScorePart:
    """Predict one of several row ranges of an object, alone on one thread, and set the predictions aside."""

    object: PinnedObject
    part: int
    parts: int
    batch_rows: int = 0
    threads: int = 1


@dataclass(frozen=True)
class JoinParts:
    """Put an object's parts together and commit it for every model but these."""

    object: PinnedObject
    parts: int
    failed_models: tuple[str, ...]
    batch_rows: int = 0
    threads: int = 1


Task = ScoreObject | ScorePart | JoinParts


@dataclass(frozen=True)
class WorkerReady:
    """All models are loaded; `seconds` since the worker's interpreter started."""

    seconds: float
    threads_help: bool = True
    """Whether several threads of one worker score faster than one: not where a model allows one call at a time."""


@dataclass(frozen=True)
class SetupFailed:
    """A model could not be loaded: no worker could do better."""

    kind: FailureKind
    text: str


@dataclass(frozen=True)
class Failure:
    """Why an object was not committed for a model; an empty `model_id` means for none of them."""

    model_id: str
    kind: FailureKind
    text: str


@dataclass(frozen=True)
class Predicted:
    """All of an object is predicted and its outputs are finished: from here on it waits for the disk, not for a core.

    Not sent for everything: what has ended without it had no such wait.
    """

    key: str


@dataclass(frozen=True)
class ObjectDone:
    """An object's end: committed for every model that `failures` does not name. `rows` as read."""

    key: str
    rows: int
    seconds: float
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class PartDone:
    """The end of a part; the models that `failures` does not name have their predictions set aside."""

    key: str
    part: int
    seconds: float
    failures: tuple[Failure, ...] = ()


Command = WorkerSetup | Task
Event = WorkerReady | SetupFailed | Predicted | ObjectDone | PartDone
Message = Command | Event
_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        WorkerSetup,
        ScoreObject,
        ScorePart,
        JoinParts,
        WorkerReady,
        SetupFailed,
        Predicted,
        ObjectDone,
        PartDone,
    )
}


def encode(message: Message) -> bytes:
    line = json.dumps({"type": type(message).__name__, "body": to_json(message)})
    return line.encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    data = json.loads(line)
    message: Message = from_json(_TYPES[data["type"]], data["body"])
    return message
