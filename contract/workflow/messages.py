"""Messages between the workflow's states.

They hold pointers instead of lists, because a state holds at most 256 KB.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.status import ExecutionStatus, FailureKind


def path_of(cls: type, field: str, *, at: str = "$") -> str:
    """Return the JSONPath of a message's field. The workflow thus names existing fields only.

    >>> path_of(JobPointer, "job_id", at="$.plan")
    '$.plan.job_id'

    Raises:
        AttributeError: if the message has no such field.
    """
    if field not in {known.name for known in dataclasses.fields(cls)}:
        raise AttributeError(f"{cls.__name__} has no field {field!r}")
    return f"{at}.{field}"


@dataclass(frozen=True)
class PlanInput:
    """Input of PrepareTraining and PlanTraining.

    `request` is the execution's input as the caller wrote it.
    """

    execution_id: str
    execution_arn: str
    started_at: str
    request: Any


@dataclass(frozen=True)
class ExecutionPlanInput(PlanInput):
    """Input of PlanExecution."""

    training: Any = None
    """The `TrainingStart` if the execution trained first, with a `failure` if a Catch added one."""
    entered_at: str = ""
    """Time at which Step Functions entered PlanExecution; empty in executions of earlier releases."""


@dataclass(frozen=True)
class TrainingStart:
    """Message from PrepareTraining to RunTraining: the training execution that a scoring execution
    starts first."""

    name: str
    """Name of the training execution. It derives from the scoring execution, so that repeated calls
    start only one."""
    input: Any
    """Request of the training execution: a `TrainingRequest` as JSON."""


@dataclass(frozen=True)
class ExecutionPlan:
    """Message from PlanExecution or PlanTraining to the Map."""

    execution_id: str
    jobs_bucket: str
    jobs_key: str
    job_count: int
    """Number of jobs, in which a split job counts once."""
    max_concurrency: int
    """Largest number of items of the Map (jobs and parts of jobs) that run concurrently."""
    tolerated_failure_percentage: float
    """Share of failed jobs, above which no new job starts. The Map itself tolerates every failure, because
    it would abort the running jobs."""
    tolerated_failed_objects_percentage: float = 100.0
    tolerated_quarantined_rows_percentage: float = 100.0
    object_count: int = 0
    """Number of objects that the jobs have to commit. An object counts once per model."""


@dataclass(frozen=True)
class JobPointer:
    """Item of jobs.json, and input of RecordAttempt, VerifyOutput and RegisterModelVersion."""

    execution_id: str
    job_id: str
    attempt: int
    """Number, from 1, of the attempt to open or of the one that has just ended."""


@dataclass(frozen=True)
class AttemptInput(JobPointer):
    """Input of RecordAttempt."""

    entered_at: str = ""
    """Time at which Step Functions entered the state; empty in executions of earlier releases."""
    child_arn: str = ""
    """ARN of the Map's child execution that runs the job; empty in executions of earlier releases."""


@dataclass(frozen=True)
class VerifyInput(JobPointer):
    """Input of VerifyOutput."""

    description: Any = None
    """SageMaker's description of the attempt's job, from which only times and instance type are read. Empty if
    there was nothing to score, None in executions of earlier releases."""


@dataclass(frozen=True)
class AttemptPlan:
    """Message from RecordAttempt to RunProcessingJob, or to RunSpotJob.

    Each part of the request that has optional fields, such as `cluster`, is one field here, because
    a JSONPath cannot omit a field.
    """

    nothing_left: bool
    """Whether every pinned object is committed already. Then no job is started, because SageMaker
    fails a job without input."""
    sagemaker_job_name: str
    spec_uri: str
    snapshot_uri: str
    data_manifest_uri: str
    models_manifest_uri: str
    predictions_uri: str
    quarantine_uri: str
    ledger_uri: str
    cluster: Mapping[str, Any]
    """The request's ClusterConfig. Only types without local storage have a VolumeKmsKeyId."""
    max_runtime_seconds: int
    environment: Mapping[str, str]
    """Environment variables of the container: see `contract.environment`."""
    image_uri: str = ""
    """URI of the image variant that serves the job's models.

    Empty only for records older than image variants.
    """
    wait_seconds: int = 0
    """Time until the attempt asks again for instances, because a quota is used up; 0 if it has them. Otherwise no
    other field has a value."""
    start_wait_seconds: int = 0
    """Time until the job may be created, so that all executions together keep the rate of SageMaker's API."""
    spot: bool = False
    """Whether the attempt is a training job that scores on spot capacity. The next three fields are for it."""
    checkpoints_uri: str = ""
    model_output_uri: str = ""
    """Where SageMaker writes the empty archive that it makes of every training job's model."""
    max_wait_seconds: int = 0
    longest_seconds: int = 0
    """Longest time that the job may take, in seconds, including waits for spot capacity."""


@dataclass(frozen=True)
class TrainingAttemptPlan:
    """Message from RecordAttempt to RunTrainingJob."""

    training_job_name: str
    channels: tuple[Mapping[str, Any], ...]
    """The request's InputDataConfig."""
    hyperparameters: Mapping[str, str]
    """Hyperparameters of SageMaker's script convention. Those of a trainer are in its spec."""
    output_uri: str
    checkpoints_uri: str
    resources: Mapping[str, Any]
    """The request's ResourceConfig. Only types without local storage have a VolumeKmsKeyId."""
    spot: bool
    stopping_condition: Mapping[str, int]
    """The request's StoppingCondition. Only spot training has MaxWaitTimeInSeconds."""
    longest_seconds: int
    """Longest time that the job may take, in seconds, including waits for spot capacity."""
    environment: Mapping[str, str]
    """Environment variables of the container: see `contract.environment`."""
    unchanged: bool
    """Whether nothing has changed since the last trained version, so that no job is started."""
    image_uri: str = ""
    """URI of the image variant that serves the framework of the trained model."""
    wait_seconds: int = 0
    """See `AttemptPlan.wait_seconds`."""
    start_wait_seconds: int = 0
    """See `AttemptPlan.start_wait_seconds`."""


@dataclass(frozen=True)
class AttemptFailure:
    """Input of ClassifyFailure. `failure` is the error that a Catch caught, unchanged.

    Step Functions does not document that every error has a Cause, and a JSONPath to a missing Cause
    would fail ClassifyFailure. So the state passes the error as a whole.
    """

    execution_id: str
    job_id: str
    attempt: int
    failure: Any
    entered_at: str = ""
    """Time at which Step Functions entered the state; empty in executions of earlier releases."""

    @property
    def error(self) -> str:
        return self._text("Error")

    @property
    def cause(self) -> str:
        return self._text("Cause")

    def _text(self, name: str) -> str:
        value = self.failure.get(name) if isinstance(self.failure, Mapping) else None
        return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class FailureDecision:
    """Message from ClassifyFailure.

    Its first three fields are the `JobPointer` of the next attempt, if any.
    """

    execution_id: str
    job_id: str
    attempt: int
    try_again: bool
    wait_seconds: int
    kind: FailureKind
    reason: str


@dataclass(frozen=True)
class JobResult:
    """Message from VerifyOutput or RegisterModelVersion.

    It is small, because the Map collects one per job.
    """

    job_id: str


@dataclass(frozen=True)
class SummaryInput:
    """Input of SummarizeExecution.

    `state` is the last state: the plan or `request`, and `failure` after a Catch.
    """

    execution_id: str
    execution_arn: str
    started_at: str
    state: Any


REQUEST_FIELD = "request"
"""Field that holds the execution's input, which may be any JSON. A Catch adds a failure beside
it."""

TRAINING_FIELD = "training"
"""Field that holds PrepareTraining's `TrainingStart`; empty if the request has no `train`."""

DESCRIPTION_FIELD = "description"
"""Field that holds SageMaker's description of an attempt's job."""

FAILURE_FIELD = "failure"
"""Field that holds the `{"Error": …, "Cause": …}` of a Catch."""


@dataclass(frozen=True)
class ExecutionOutcome:
    """Message from SummarizeExecution to the last states."""

    status: ExecutionStatus
    summary_uri: str
    cause: str
    """Reason why the execution did not succeed, with the remedy; empty if it succeeded."""
