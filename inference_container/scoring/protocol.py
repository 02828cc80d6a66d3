"""Messages between the supervisor and its workers, one line of JSON each, over pipes.

Messages hold only text and numbers. The supervisor never imports a model's library, so it could not
load that library's exceptions.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from contract.catalog.model_spec import ModelSpec
from contract.codec import from_json, to_json
from contract.job.fleet import FleetSpec
from contract.job.ledger import KeyReport
from contract.job.scoring_spec import PinnedObject
from contract.json_text import parse_json
from contract.layout import OutputLayout
from contract.status import FailureKind
from scoring.errors import IN_LOG, describe_error


@dataclass(frozen=True)
class MemberSetup:
    """A model of a fleet."""

    model_id: str
    version: str
    file: str
    """Local path of its model; empty if no object of the shard needs it."""
    changes: str
    """JSON of the fields of its spec that differ from the first member's."""


@dataclass(frozen=True)
class FleetSetup:
    """The fleet that a worker scores."""

    spec: FleetSpec
    first: ModelSpec
    """Spec of the first member."""
    members: tuple[MemberSetup, ...]
    cache_bytes: int
    """Limit on the memory of loaded members."""
    has_several_formats: bool
    """Whether members have different file formats, and so may predict floats of different precision."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs before its first object; `model_files` are local paths, one per model.

    `models` have a commit per object. If they are a fleet, it is one model without a file.

    `scratch` is the worker's own folder, `parts` the folder in which all workers store the predicted
    parts of objects, and `data` the folder of the objects.
    """

    execution_id: str
    job_id: str
    batch_rows: int
    scratch: str
    models: tuple[ModelSpec, ...]
    model_files: tuple[str, ...]
    parts: str
    data: str
    output_layout: OutputLayout = "per_model"
    joined_nulls: bool = False
    fleet: FleetSetup | None = None


def predictions_file(spec: ModelSpec, place: int = 0) -> str:
    """Return the name of a model's output in the folder that a worker has written.

    `place` is the object's position in its group.
    """
    return f"{place}-{spec.model_id}.{spec.output_format}"


def joined_file(output_format: str, place: int = 0) -> str:
    """Return the name of the output that all models share, in the folder that a worker has written."""
    return f"{place}-joined.{output_format}"


def quarantine_file(spec: ModelSpec, place: int = 0) -> str:
    return f"{place}-{spec.model_id}.quarantine"


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
class ScoreGroup:
    """Score several small objects on one thread; each model predicts their rows together."""

    objects: tuple[PinnedObject, ...]
    start_after: int = 0
    """As in `ScoreObject`."""
    batch_rows: int = 0
    threads: int = 1


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
    seconds: float = 0.0
    """Time that the parts have taken together."""


ObjectTask = ScoreObject | MergeParts
"""A task that writes an object, which is then committed."""
WritingTask = ObjectTask | ScoreGroup
Task = WritingTask | PredictPart


def objects_of(task: Task) -> tuple[PinnedObject, ...]:
    """Return the objects that a task is about."""
    return task.objects if isinstance(task, ScoreGroup) else (task.object,)


@dataclass(frozen=True)
class WorkerReady:
    """All models are loaded; `seconds` is how long the imports and loading took."""

    seconds: float
    threads_help: bool = True
    """Whether several threads score faster than one; False if a model allows one call at a time."""
    load_seconds: tuple[float, ...] = ()
    """Time to load each model, in the order of the setup; empty for a fleet."""


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


def unforeseen_failure(key: str, error: Exception) -> Failure:
    """Return the failure of an object by an error that nobody expected."""
    return Failure("", FailureKind.UNKNOWN, f"object {key!r}: {describe_error(error)}; {IN_LOG}")


@dataclass(frozen=True)
class WrittenFile:
    """Size, and CRC64NVME in Base64, of a file that a worker has written."""

    bytes: int
    crc64nvme: str


@dataclass(frozen=True)
class WrittenOutput:
    """What a worker has written for a model; it becomes the commit."""

    model_id: str
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    predictions: WrittenFile | None
    """None if the object has no data, and so no columns that an output could have."""
    quarantine: WrittenFile | None = None
    writer: str = ""
    keys: KeyReport | None = None
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    rows_skipped: int = 0
    seconds: float = 0.0
    """Time on threads that was spent for this model alone."""


@dataclass(frozen=True)
class ObjectWritten:
    """An object that a worker has written: the files of `outputs` are in `folder`, below the worker's
    own folder, and are not yet committed. `rows` is the number of rows read."""

    key: str
    folder: str
    rows: int
    seconds: float
    outputs: tuple[WrittenOutput, ...] = ()
    failures: tuple[Failure, ...] = ()
    common_seconds: float = 0.0
    """Part of each output in the time on threads that was spent for all models together, such as on decoding."""


@dataclass(frozen=True)
class GroupWritten:
    """The objects of a group, in the order of the task. All their files are in `folder`."""

    folder: str
    objects: tuple[ObjectWritten, ...]
    seconds: float


@dataclass(frozen=True)
class ObjectDone:
    """The end of an object, committed for every model without a failure; `rows` were read.

    The supervisor creates it; it is not a message.
    """

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
Event = WorkerReady | SetupFailed | ObjectWritten | GroupWritten | PartDone
Message = Command | Event
_COMMAND_TYPES: dict[str, type[Any]] = {cls.__name__: cls for cls in get_args(Command)}
_EVENT_TYPES: dict[str, type[Any]] = {cls.__name__: cls for cls in get_args(Event)}
_NUMBERS = ("seconds", "rows", "part", "common_seconds")
_MAX_NUMBER = 1 << 62
MAX_EVENT_BYTES = 16 << 20
"""Largest message of a worker, in bytes. One about a thousand models takes less than a quarter."""


class InvalidEventError(ValueError):
    """A line that is not an event, because model code can write to the worker's pipe.

    The text has nothing of the line, which may have values of the data.
    """


def encode(message: Message) -> bytes:
    """Return the message as one line of ASCII JSON.

    >>> encode(PartDone("a.csv", 0, 0.5))
    b'{"type": "PartDone", "body": {"schema_version": 2, "key": "a.csv", "part": 0, "seconds": 0.5, "failures": []}}\\n'
    """
    line = json.dumps({"type": type(message).__name__, "body": to_json(message)})
    return line.encode("ascii") + b"\n"


def decode_command(line: bytes) -> Command:
    """Return a message of the supervisor."""
    data = json.loads(line)
    command: Command = from_json(_COMMAND_TYPES[data["type"]], data["body"])
    return command


def decode_event(line: bytes) -> Event:
    """Return a message of a worker. Raises InvalidEventError."""
    try:
        data = parse_json(line, max_bytes=MAX_EVENT_BYTES, keep_surrogates=True)
        event: Event = from_json(_EVENT_TYPES[data["type"]], data["body"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidEventError("it is not a message of a worker") from error
    parts = [event, *event.objects] if isinstance(event, GroupWritten) else [event]
    numbers = [getattr(part, name) for part in parts for name in _NUMBERS if hasattr(part, name)]
    if not all(math.isfinite(number) and 0 <= number <= _MAX_NUMBER for number in numbers):
        raise InvalidEventError("a number is negative or too large")
    return event
