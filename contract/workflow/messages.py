"""What passes between the workflow's states: small, pointers instead of lists (a state holds at
most 256 KB)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.status import ExecutionStatus, FailureKind


def path_of(cls: type, field: str, *, at: str = "$") -> str:
    """The JSONPath of a message's field, so that the workflow cannot name a field that is not
    there.

    Raises:
        AttributeError: when the message has no such field.
    """
    if field not in {known.name for known in dataclasses.fields(cls)}:
        raise AttributeError(f"{cls.__name__} has no field {field!r}")
    return f"{at}.{field}"


@dataclass(frozen=True)
class PlanInput:
    """To PrepareTraining and PlanTraining.

    `request` is the execution's input as the caller wrote it.
    """

    execution_id: str
    execution_arn: str
    started_at: str
    request: Any


@dataclass(frozen=True)
class ExecutionPlanInput(PlanInput):
    """To PlanExecution."""

    training: Any = None
    """The `TrainingOrder` when this execution has trained first, with the `failure` that a Catch
    added to it."""


@dataclass(frozen=True)
class TrainingOrder:
    """From PrepareTraining, to RunTraining: the training execution that a scoring execution starts
    first."""

    name: str
    """The same however often it is asked, so that a doubled call starts one execution."""
    input: Any
    """A `training_request.TrainingRequest` as JSON."""


@dataclass(frozen=True)
class ExecutionPlan:
    """From PlanExecution or PlanTraining, to the Map."""

    execution_id: str
    jobs_bucket: str
    jobs_key: str
    job_count: int
    max_concurrency: int
    tolerated_failure_percentage: float


@dataclass(frozen=True)
class JobPointer:
    """One item of jobs.json, and the input of RecordAttempt, VerifyOutput and
    RegisterModelVersion."""

    execution_id: str
    job_id: str
    attempt: int
    """From 1: the attempt that is to be opened, or that has just ended."""


@dataclass(frozen=True)
class AttemptPlan:
    """From RecordAttempt, to RunProcessingJob."""

    nothing_left: bool
    """Every pinned object is committed already, so no processing job is needed (one without input
    would fail)."""
    sagemaker_job_name: str
    spec_uri: str
    data_manifest_uri: str
    models_manifest_uri: str
    predictions_uri: str
    quarantine_uri: str
    ledger_uri: str
    instance_type: str
    instance_count: int
    volume_size_gb: int
    max_runtime_seconds: int
    image_uri: str = ""
    """The image variant that serves the job's models; only a record of before there were variants
    has none."""


@dataclass(frozen=True)
class TrainingAttemptPlan:
    """From RecordAttempt, to RunTrainingJob.

    What differs in its fields between jobs is whole: a path cannot leave a field out.
    """

    training_job_name: str
    channels: tuple[Mapping[str, Any], ...]
    """InputDataConfig."""
    hyperparameters: Mapping[str, str]
    """Those of SageMaker's own script convention; a trainer's are in its spec."""
    output_uri: str
    checkpoints_uri: str
    instance_type: str
    volume_size_gb: int
    spot: bool
    stopping_condition: Mapping[str, int]
    """StoppingCondition: with spot it has MaxWaitTimeInSeconds, without it must not."""
    longest_seconds: int
    """How long the job may take, waits for spot capacity included."""
    image_uri: str = ""
    """The image variant that serves the framework of the model that is trained."""


@dataclass(frozen=True)
class AttemptFailure:
    """To ClassifyFailure.

    `failure` is what a Catch caught, as it is: whether Step Functions gives a Cause with every
    error is not documented, and a path that leads nowhere would fail the state that must not fail.
    """

    execution_id: str
    job_id: str
    attempt: int
    failure: Any

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
    """From ClassifyFailure.

    Its first three fields are the `JobPointer` of the next attempt, if there is one.
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
    """From VerifyOutput or RegisterModelVersion.

    Small, because the Map collects one from each job.
    """

    job_id: str


@dataclass(frozen=True)
class SummaryInput:
    """To SummarizeExecution.

    `state` is the last one: the plan or `request`, and `failure` when a Catch led here.
    """

    execution_id: str
    execution_arn: str
    started_at: str
    state: Any


REQUEST_FIELD = "request"
"""Where the first state puts the execution's input, which may be any JSON, so that a failure fits
beside it."""

TRAINING_FIELD = "training"
"""Where PrepareTraining puts its `TrainingOrder`; empty where the request asks for no training."""

FAILURE_FIELD = "failure"
"""Where a Catch puts `{"Error": …, "Cause": …}`."""


@dataclass(frozen=True)
class ExecutionOutcome:
    """From SummarizeExecution, to the last states."""

    status: ExecutionStatus
    summary_uri: str
    cause: str
    """Why it did not succeed and what to do; empty when it did."""
