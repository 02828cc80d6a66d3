"""The table: its keys, attribute names, and the records of executions, jobs and attempts.

Items of models, recipes and fleets are in `catalog_items`, those of uploads in `upload_records`.

Access patterns (one table, one index):

| question                              | how                                                      |
|---------------------------------------|----------------------------------------------------------|
| an execution by id                    | get  pk=EXECUTION#<id>, sk=EXECUTION                     |
| the jobs of an execution              | query pk=EXECUTION#<id>, sk begins with JOB#             |
| the attempts of a job                 | query pk=EXECUTION#<id>, sk begins with ATTEMPT#<job>#   |
| what an execution's jobs add up to    | query pk=EXECUTION#<id>, sk begins with TALLY#           |
| executions by time                    | index pk=EXECUTIONS, sk=<started_at>#<id>                |
| since when executions may be open     | get  pk=RECONCILIATION, sk=SINCE                         |
| jobs of an execution by status        | index pk=EXECUTION#<id>#<status>, sk=<job id>            |
| every model                           | index pk=MODELS, sk=<model id>; see `catalog_ids`        |
| the ids of all models, consistently   | query pk=MODEL#, sk begins with MODEL# or RECIPE#        |
| a model; its versions, also deleted   | query pk=MODEL#<id>, sk=MODEL or begins with VERSION#    |
| every recipe                          | index pk=RECIPES, sk=<model id>; see `catalog_ids`       |
| a model's recipe                      | get  pk=MODEL#<id>, sk=RECIPE                            |
| every fleet                           | index pk=FLEETS, sk=<fleet id>                           |
| a fleet                               | get  pk=FLEET#<id>, sk=FLEET                             |
| the stage's prices                    | get  pk=PRICES, sk=PRICES                                |
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from contract import codec
from contract.catalog.models import Compute
from contract.control_characters import replace_control_characters
from contract.deadlines.lateness import Lateness
from contract.job.parts import JobPart, Sharding
from contract.job.spot_time import SpotTime
from contract.layout import OutputLayout
from contract.planner.figures import ActualFigures, PlanFigures
from contract.problems import InvalidInputError
from contract.status import (
    AttemptStatus,
    ExecutionKind,
    ExecutionStatus,
    FailureKind,
    JobStatus,
    SageMakerKind,
    Shortage,
    sagemaker_kind,
)
from contract.table.attributes import from_attribute, to_attributes
from contract.table.measurements import JobMeasurements
from contract.workflow.messages import ExecutionPlan

PARTITION_KEY = "pk"
SORT_KEY = "sk"
INDEX_NAME = "by-collection"
INDEX_PARTITION_KEY = "index_pk"
INDEX_SORT_KEY = "index_sk"
TIME_TO_LIVE = "expires_at"
"""Attribute with the time of expiry, in epoch seconds."""

EXECUTION_PARTITIONS = "EXECUTION#"
MODEL_PARTITIONS = "MODEL#"
FLEET_PARTITIONS = "FLEET#"
"""Prefixes of the partition keys.

A role's policy allows only some of them, so that only registration and promotion write models, and
no function writes fleets.
"""

EXECUTION_SORT_KEY = "EXECUTION"
MODEL_SORT_KEY = "MODEL"
JOB_SORT_PREFIX = "JOB#"
ATTEMPT_SORT_PREFIX = "ATTEMPT#"
VERSION_SORT_PREFIX = "VERSION#"
EXECUTIONS_COLLECTION = "EXECUTIONS"
MODELS_COLLECTION = "MODELS"
TALLY_SORT_PREFIX = "TALLY#"
RECONCILIATION_PARTITION = "RECONCILIATION"
RECONCILIATION_KEY = {PARTITION_KEY: RECONCILIATION_PARTITION, SORT_KEY: "SINCE"}
"""Item with the time since which executions may be open: see `OpenExecutions`."""
RECIPE_SORT_KEY = "RECIPE"
RECIPES_COLLECTION = "RECIPES"
FLEET_SORT_KEY = "FLEET"
FLEETS_COLLECTION = "FLEETS"

_KEY_ATTRIBUTES = frozenset({PARTITION_KEY, SORT_KEY, INDEX_PARTITION_KEY, INDEX_SORT_KEY, TIME_TO_LIVE})

R = TypeVar("R")


@dataclass(frozen=True)
class ExecutionRecord:
    """Record of an execution. Times are ISO 8601 in UTC."""

    execution_id: str
    execution_arn: str
    status: ExecutionStatus
    started_at: str
    request_json: str
    """The execution's input as JSON, or only its task token: see `request_text`."""
    label: str = ""
    plan: ExecutionPlan | None = None
    """Set after PlanExecution has written every job."""
    ended_at: str = ""
    reason: str = ""
    summary_uri: str = ""
    jobs_succeeded: int = 0
    jobs_failed: int = 0
    kind: ExecutionKind = ExecutionKind.SCORING
    training_execution_id: str = ""
    """The training execution that this one started first, if its request has `train`."""
    training_failure: str = ""
    """Reason why the training did not succeed, if this execution scored nevertheless.

    Such an execution never succeeds.
    """
    resumes: str = ""
    """Id of the execution that this one continues."""
    moved_datasets: tuple[str, ...] = ()
    """Datasets whose objects were replaced by others with new keys since the first plan.

    A resumed execution scores none of these, so its predictions never become the latest ones.
    """
    notes: tuple[str, ...] = ()
    """What the execution keeps of earlier ones and scores again, and why, as its plan has counted."""
    violations: tuple[str, ...] = ()
    """The first violations of the accounting, with which no execution succeeds."""
    keeps_scored: bool = False
    """Whether the request has keep_scored, so that its jobs keep commits of any earlier executions."""
    passed_level: str = ""
    """The tolerated level that was passed, with its numbers and the first reasons. Such an execution
    starts no new jobs, and never succeeds."""
    closing_pending: bool = False
    """Whether the execution has ended, but something may be missing that follows: its summary, the pointers to its
    predictions, or the report to a waiting task."""
    priority: int = 5
    """Priority from 0 to 9 with which its jobs get instances of a quota that is used up."""
    deadline_at: str = ""
    """Time of the request's deadline; empty if it has none."""
    deadline_is_strict: bool = False
    """Whether jobs that wait for capacity give up at the deadline."""
    estimate: PlanFigures | None = None
    """What the plan expects; None in executions of earlier releases, and of training."""
    actual: ActualFigures | None = None
    """What the execution has used; set when it is closed, if it has an estimate."""
    lateness: Lateness | None = None
    """What was predicted about the deadline while the execution ran; None if it was expected to keep it."""
    expected_end_at: str = ""
    """Expected end when `lateness` was recorded; empty if it could not be predicted."""

    def __post_init__(self) -> None:
        _make_printable(self, "reason", "training_failure", "passed_level")
        for name in ("notes", "violations"):
            object.__setattr__(self, name, tuple(map(replace_control_characters, getattr(self, name))))


@dataclass(frozen=True)
class JobRecord:
    """Record of a job.

    Rows count pairs of row and model: a row that two models score counts twice. The models of a
    fleet score each row once.

    For a training job, `rows_in` counts the rows of its data. `model_versions` names the version
    that it trains, and `sagemaker_job_name` is the training job's name.
    """

    execution_id: str
    job_id: str
    status: JobStatus
    dataset: str
    model_ids: tuple[str, ...]
    model_versions: tuple[str, ...]
    object_count: int
    input_bytes: int
    compute: Compute
    max_attempts: int
    attempt: int = 0
    """Number of the latest attempt; 0 before the first."""
    sagemaker_job_name: str = ""
    created_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    rows_in: int = 0
    rows_scored: int = 0
    rows_quarantined: int = 0
    failure_kind: FailureKind | None = None
    reason: str = ""
    kind: ExecutionKind = ExecutionKind.SCORING
    outcome: str = ""
    """Result of a training job that succeeded: whether its version was promoted, and why."""
    duplicate_keys: int = 0
    null_keys: int = 0
    notes: tuple[str, ...] = ()
    """The ledger's notes on how models were loaded and columns read, each with its model's id."""
    image_uri: str = ""
    """URI of the attempts' image, pinned when the execution was planned."""
    output_layout: OutputLayout = "per_model"
    sharding: Sharding | None = None
    """Division of the objects between instances; None for a job of one instance."""
    part: JobPart | None = None
    """Set if this is a part of a job: see `job_parts`."""
    fleet: str = ""
    """Id of the fleet whose models score the job.

    It is then the only one of `model_ids`: see `fleet_model`. The job's spec names the fleet's
    models.
    """
    fleet_models: int = 0
    """Number of the fleet's models."""
    rows_skipped: int = 0
    """Rows of a fleet's job that no model has a route for, and that are in no output."""
    commits: int = 0
    """Valid commits in the ledger when it was last counted, of `object_count` times models."""
    commits_kept: int = 0
    """Those of them that the job took over from the execution that its own resumes."""
    changes: tuple[str, ...] = ()
    """The `AttemptRecord.changes` of the latest attempt."""
    unchanged_since: str = ""
    """The trained version that a training would only repeat, so that nothing is trained."""
    unrecorded_failure: str = ""
    """JSON of the last failure's Error and Cause, if ClassifyFailure could not record it. The
    workflow writes it without a function; the closing of the record turns it into a reason."""
    classification_failure: str = ""
    """JSON of the Error and Cause with which ClassifyFailure failed then."""
    waiting_for: str = ""
    """The instances that the job waits for now, and why; empty unless it waits."""
    waiting_since: str = ""
    """When that wait began. It stays while SageMaker may refuse the job again, until the attempt ends."""
    waiting_instances: int = 0
    """Number of instances that the job waits for."""
    waited_seconds: int = 0
    """Seconds that the job has waited for capacity before, in all its attempts."""
    spot_time: SpotTime | None = None
    """What SageMaker has billed of the attempts on spot capacity; None for a job that has had none."""
    estimated_seconds: float = 0.0
    """Expected seconds from the creation of a SageMaker job to its end; 0 if the plan has no estimate."""
    measured: JobMeasurements | None = None
    """What a scoring job that succeeded has measured; None in records of earlier releases."""

    @property
    def objects_pinned(self) -> int:
        """Number of objects that the job has to commit. An object counts once per model; those of a
        fleet count as one."""
        return self.object_count * len(self.model_ids)

    @property
    def scores_on_spot(self) -> bool:
        """Whether the attempts are training jobs that score on spot capacity."""
        return self.kind is ExecutionKind.SCORING and self.compute.uses_spot

    @property
    def sagemaker_kind(self) -> SageMakerKind:
        """Kind of the SageMaker jobs that the attempts are."""
        return sagemaker_kind(self.kind, spot=self.scores_on_spot)

    def __post_init__(self) -> None:
        _make_printable(self, "reason", "outcome")
        object.__setattr__(self, "notes", tuple(map(replace_control_characters, self.notes)))


@dataclass(frozen=True)
class AttemptRecord:
    """Record of an attempt: a SageMaker processing job, or a training job that trains or scores."""

    execution_id: str
    job_id: str
    attempt: int
    status: AttemptStatus
    sagemaker_job_name: str
    object_count: int
    """Number of objects that the ledger lacked when the attempt was opened."""
    instance_type: str
    instance_count: int
    started_at: str
    ended_at: str = ""
    failure_kind: FailureKind | None = None
    reason: str = ""
    """Cause, remedy and where the logs are, as one text for people."""
    rule: str = ""
    """Name of the decision table's rule that classified the failure."""
    cause: str = ""
    """Text of the service, function or container that reported the failure."""
    remedy: str = ""
    """What the rule tells people to do; empty if another attempt follows."""
    batch_rows: int = 0
    """Most rows per batch. 0 for training, for which it has no meaning."""
    volume_size_gb: int = 0
    """Size of each instance's volume, in GB. Types with local storage have a fixed size."""
    changes: tuple[str, ...] = ()
    """What differs from the job's settings because of earlier attempts, and why."""
    shortage: Shortage | None = None
    """What the attempt ran out of, if it failed for that reason."""
    progress_mark: str = ""
    """Digest of the ledger's segments, or of the checkpoints, at the start; empty if there were none."""
    spot: bool = False
    """Whether it is a training job that scores on spot capacity."""

    def __post_init__(self) -> None:
        _make_printable(self, "reason", "cause")


def _make_printable(record: Any, *names: str) -> None:
    """Replace control characters in fields that people read, and that models and data can choose.

    Events, summaries and outcomes take these fields from the records.
    """
    for name in names:
        object.__setattr__(record, name, replace_control_characters(getattr(record, name)))


def record_time(moment: datetime) -> str:
    """Return a UTC time as records store it: ISO 8601 with milliseconds, like Step Functions.

    It sorts as text.

    >>> from datetime import UTC
    >>> record_time(datetime(2026, 7, 1, 12, 30, tzinfo=UTC))
    '2026-07-01T12:30:00.000Z'
    """
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def execution_kind(execution_arn: str) -> ExecutionKind:
    """Return the workflow of a state machine named `fleetscore-<stage>[-training]`.

    >>> execution_kind("arn:aws:states:eu-west-1:1:execution:fleetscore-dev-training:e-1").value
    'training'
    """
    machine = execution_arn.split(":")[6] if execution_arn.count(":") >= 6 else ""
    return ExecutionKind.TRAINING if machine.endswith("-training") else ExecutionKind.SCORING


def execution_key(execution_id: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{EXECUTION_PARTITIONS}{execution_id}", SORT_KEY: EXECUTION_SORT_KEY}


def job_key(execution_id: str, job_id: str) -> dict[str, str]:
    return {PARTITION_KEY: f"{EXECUTION_PARTITIONS}{execution_id}", SORT_KEY: f"{JOB_SORT_PREFIX}{job_id}"}


def attempt_key(execution_id: str, job_id: str, attempt: int) -> dict[str, str]:
    return {
        PARTITION_KEY: f"{EXECUTION_PARTITIONS}{execution_id}",
        SORT_KEY: f"{ATTEMPT_SORT_PREFIX}{job_id}#{attempt:03d}",
    }


def tally_key(execution_id: str, item: int) -> dict[str, str]:
    """Return the key of one of the items that count an execution's ended jobs: see `Tallies`."""
    return {PARTITION_KEY: f"{EXECUTION_PARTITIONS}{execution_id}", SORT_KEY: f"{TALLY_SORT_PREFIX}{item:02d}"}


def jobs_by_status(execution_id: str, status: JobStatus) -> str:
    """Return the index's partition key for an execution's jobs in one status."""
    return f"{EXECUTION_PARTITIONS}{execution_id}#{status.value}"


def execution_index(record: ExecutionRecord) -> dict[str, str]:
    return {
        INDEX_PARTITION_KEY: EXECUTIONS_COLLECTION,
        INDEX_SORT_KEY: f"{record.started_at}#{record.execution_id}",
    }


def job_index(record: JobRecord) -> dict[str, str]:
    return {
        INDEX_PARTITION_KEY: jobs_by_status(record.execution_id, record.status),
        INDEX_SORT_KEY: record.job_id,
    }


def execution_item(record: ExecutionRecord, expires_at: int | None = None) -> dict[str, Any]:
    return record_item(record, {**execution_key(record.execution_id), **execution_index(record)}, expires_at)


def job_item(record: JobRecord, expires_at: int | None = None) -> dict[str, Any]:
    return record_item(record, {**job_key(record.execution_id, record.job_id), **job_index(record)}, expires_at)


def attempt_item(record: AttemptRecord, expires_at: int | None = None) -> dict[str, Any]:
    return record_item(record, attempt_key(record.execution_id, record.job_id, record.attempt), expires_at)


def read_item(cls: type[R], item: Mapping[str, Any]) -> R:
    """Return the record of a table item as boto3's resource layer returns it (numbers as Decimal).

    Raises:
        InvalidInputError: if another release wrote the item, or if it is a record of another class.
    """
    subject = f"item {item.get(PARTITION_KEY)} / {item.get(SORT_KEY)}"
    body = {name: from_attribute(value) for name, value in item.items() if name not in _KEY_ATTRIBUTES}
    try:
        return codec.from_json(cls, body, subject=subject)
    except InvalidInputError as error:
        named = [replace(problem, field=f"{subject}: {problem.field}") for problem in error.problems]
        raise InvalidInputError(subject, named) from error


def record_item(record: Any, keys: dict[str, str], expires_at: int | None) -> dict[str, Any]:
    """Return a record's item, with its keys and its time of expiry in epoch seconds, if it has one."""
    item = {**to_attributes(codec.to_json(record)), **keys}
    if expires_at is not None:
        item[TIME_TO_LIVE] = expires_at
    return item
