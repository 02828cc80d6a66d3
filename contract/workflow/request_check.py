"""Messages of CheckRequest, which checks a request as its plan would."""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract import codec
from contract.json_text import dump_json, parse_json
from contract.planner.estimates import Estimate
from contract.planner.figures import PlanFigures
from contract.planner.plan import Alternative
from contract.status import ExecutionKind

MAX_LISTED_JOBS = 50
"""Largest number of jobs that a check lists, unless all are wanted; a request can have tens of thousands."""
_MAX_PLAIN_CHARACTERS = 2_000_000
"""Longest answer that is not compressed. Lambda takes 6 MB."""
_COMPRESSED = "gzip_base64"


@dataclass(frozen=True)
class CheckInput:
    """Input of CheckRequest."""

    kind: ExecutionKind
    request: Any
    """The execution's input, which may be any JSON."""
    all_jobs: bool = False
    """Whether to list every job."""


@dataclass(frozen=True)
class CheckedJob:
    """A job that the execution would run."""

    kind: ExecutionKind
    job_id: str
    dataset: str
    models: int
    objects: int
    input_bytes: int
    instance_type: str
    instance_count: int
    parts: int = 0
    """Number of parts if the job is split; they run on one instance each."""
    volume_gb: int = 0
    """Storage of each instance, in GB."""
    seconds: Estimate | None = None
    """Expected duration; of the longest part if the job is split."""
    rows: int | None = None
    """Rows of the input; None if the dataset was not measured."""
    cost: float | None = None
    """US dollars; None without a price."""


@dataclass(frozen=True)
class ExpectedCapacity:
    """What the plan of a request expects."""

    planned_at: str
    """Time of the plan, ISO 8601 in UTC."""
    figures: PlanFigures
    deadline_at: str = ""
    """Time of the deadline, ISO 8601 in UTC; empty without one."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Quotas of the account for the instance types that the plan needs, as far as they are known."""
    alternatives: tuple[Alternative, ...] = ()
    """What would make it cheaper or faster."""


@dataclass(frozen=True)
class ResumeCounts:
    """What an execution that keeps commits does with each pair of an object and a model, or a fleet."""

    expected: int
    """All pairs."""
    kept: int
    """Commits that are kept; at most as many if they are not exact."""
    again: int
    """Pairs that were scored, and are scored again because the model or the object has changed."""
    missing: int
    """Pairs that were not committed, and those that are not counted."""
    is_exact: bool = True
    """Whether the plan has read the ledgers, because they have few enough commits."""


@dataclass(frozen=True)
class ScoredBefore:
    """What a model or fleet has scored of a dataset, by the rule of `contract.job.scored_before`."""

    id: str
    version: str
    is_fleet: bool
    dataset: str
    objects: int
    """Number of objects of the dataset."""
    scored: int
    """Number of those that an earlier execution has scored as the request would, and whose outputs exist."""

    @property
    def is_complete(self) -> bool:
        return self.scored >= self.objects


@dataclass(frozen=True)
class RequestCheck:
    """Result of CheckRequest.

    A request with problems has no jobs, because its execution would be refused.
    """

    problems: tuple[str, ...] = ()
    """The first problems, and how many more there are."""
    problem_count: int = 0
    training_job_count: int = 0
    """Jobs that would train models; a scoring request has some if it trains first."""
    job_count: int = 0
    """Jobs that would score models."""
    model_count: int = 0
    dataset_count: int = 0
    object_count: int = 0
    """Objects of the datasets, each counted once, however many models read it."""
    input_bytes: int = 0
    jobs: tuple[CheckedJob, ...] = ()
    """In the order in which they start, training jobs first: the first ones, or all if they were wanted."""
    notes: tuple[str, ...] = ()
    """Notes about effects that may be unexpected, but are allowed."""
    resume: ResumeCounts | None = None
    """Set if the request keeps what earlier executions have scored."""
    scored_before: tuple[ScoredBefore, ...] = ()
    """What each model and fleet has scored already, if the request has keep_scored."""
    expected: ExpectedCapacity | None = None
    """What the scoring jobs need; None without such jobs."""


def to_answer(check: RequestCheck) -> dict[str, Any]:
    """Return the answer of the function as JSON values, compressed if it is long."""
    value = codec.to_json(check)
    text = dump_json(value)
    if len(text) <= _MAX_PLAIN_CHARACTERS:
        return value
    return {_COMPRESSED: base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()}


def from_answer(body: bytes) -> RequestCheck:
    """Return the check of an answer.

    Raises:
        InvalidInputError: when the function is of another release.
    """
    value = parse_json(body)
    if isinstance(value, dict) and _COMPRESSED in value:
        value = parse_json(gzip.decompress(base64.b64decode(value[_COMPRESSED])))
    return codec.from_json(RequestCheck, value)
