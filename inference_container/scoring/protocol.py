"""Messages between the supervisor and its workers, one line of JSON each, over pipes.

Messages hold only text and numbers. The supervisor never imports a model's library, so it could not
load that library's exceptions.
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
    """What a worker needs before its first object; `model_files` are local paths, one per model."""

    execution_id: str
    job_id: str
    batch_rows: int
    scratch: str
    models: tuple[ModelSpec, ...]
    model_files: tuple[str, ...]


def worker_scratch(setup: WorkerSetup, pid: int) -> Path:
    """Return a worker's private folder; other workers use the same file names in theirs."""
    return Path(setup.scratch) / f"worker-{pid}"


@dataclass(frozen=True)
class ScoreObject:
    """Score one object with at most `threads` threads."""

    object: PinnedObject
    threads: int
    batch_rows: int = 0
    """Rows per batch, reduced after the object has crashed a worker; 0 means the job's value."""
    start_after: int = 0
    """Number of tasks that the worker must have computed since its start before it starts this one;
    0 means at once."""


@dataclass(frozen=True)
class PredictPart:
    """Predict one of several row ranges of an object on one thread, and store the predictions."""

    object: PinnedObject
    part: int
    parts: int
    batch_rows: int = 0
    threads: int = 1


@dataclass(frozen=True)
class MergeParts:
    """Merge an object's predicted parts and commit them for every model that has not failed."""

    object: PinnedObject
    parts: int
    failed_models: tuple[str, ...]
    batch_rows: int = 0
    threads: int = 1


Task = ScoreObject | PredictPart | MergeParts


@dataclass(frozen=True)
class WorkerReady:
    """All models are loaded; `seconds` is how long the imports and loading took."""

    seconds: float
    threads_help: bool = True
    """Whether several threads score faster than one; False if a model allows one call at a time."""


@dataclass(frozen=True)
class SetupFailed:
    """A model could not be loaded; the same would happen in any other worker."""

    kind: FailureKind
    text: str


@dataclass(frozen=True)
class Failure:
    """Why an object was not committed for a model; an empty `model_id` means all models."""

    model_id: str
    kind: FailureKind
    text: str


@dataclass(frozen=True)
class ObjectPredicted:
    """All outputs of an object are written; the object now waits for the disk and needs no core.

    Not sent for an object that ends without this wait.
    """

    key: str


@dataclass(frozen=True)
class ObjectDone:
    """The end of an object, committed for every model without a failure; `rows` were read."""

    key: str
    rows: int
    seconds: float
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class PartDone:
    """The end of a part; its predictions are stored for every model without a failure."""

    key: str
    part: int
    seconds: float
    failures: tuple[Failure, ...] = ()


Command = WorkerSetup | Task
Event = WorkerReady | SetupFailed | ObjectPredicted | ObjectDone | PartDone
Message = Command | Event
_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        WorkerSetup,
        ScoreObject,
        PredictPart,
        MergeParts,
        WorkerReady,
        SetupFailed,
        ObjectPredicted,
        ObjectDone,
        PartDone,
    )
}


def encode(message: Message) -> bytes:
    """Return the message as one line of ASCII JSON.

    >>> encode(ObjectPredicted("2024/a.parquet"))
    b'{"type": "ObjectPredicted", "body": {"schema_version": 1, "key": "2024/a.parquet"}}\\n'
    """
    line = json.dumps({"type": type(message).__name__, "body": to_json(message)})
    return line.encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    data = json.loads(line)
    message: Message = from_json(_TYPES[data["type"]], data["body"])
    return message
