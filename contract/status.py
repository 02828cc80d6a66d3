"""The states of executions, jobs, attempts, upload windows and trained versions, and a job's
allowed transitions."""

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """Status of an execution. All but RUNNING are final."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTLY_FAILED = "PARTLY_FAILED"
    FAILED = "FAILED"


class JobStatus(StrEnum):
    """Status of a job. SUCCEEDED and FAILED are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """The last attempt failed for a reason that may be temporary, and the next one has not been
    opened."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class AttemptStatus(StrEnum):
    """Status of an attempt. SUCCEEDED and FAILED are final."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class WindowStatus(StrEnum):
    """Status of an upload window. It accepts uploads while it is OPEN; STARTED is final."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    STARTED = "STARTED"


class VersionState(StrEnum):
    """Decision about a trained version. Only a PROMOTED version has ever been current."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    PROMOTED = "PROMOTED"
    REJECTED = "REJECTED"


class ExecutionKind(StrEnum):
    """The workflow that an execution or a job belongs to."""

    SCORING = "scoring"
    TRAINING = "training"


class SageMakerKind(StrEnum):
    """Kind of the SageMaker jobs that attempts are, as operations of SageMaker name it."""

    PROCESSING = "Processing"
    TRAINING = "Training"
    """Trainings, and scoring on spot capacity."""


def sagemaker_kind(kind: ExecutionKind, *, spot: bool) -> SageMakerKind:
    """Return the kind of the SageMaker jobs of a workflow, on spot capacity or not."""
    return SageMakerKind.TRAINING if spot or kind is ExecutionKind.TRAINING else SageMakerKind.PROCESSING


class FailureKind(StrEnum):
    """Kind of the failure of an attempt or a job. It decides whether to retry."""

    TRANSIENT = "TRANSIENT"
    CAPACITY = "CAPACITY"
    DATA = "DATA"
    MODEL = "MODEL"
    CONFIGURATION = "CONFIGURATION"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"


class Shortage(StrEnum):
    """What an attempt ran out of. The next attempt gets more of it."""

    MEMORY = "memory"
    DISK_SPACE = "disk space"
    TIME = "time"


ALLOWED_BEFORE: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.RUNNING: frozenset({JobStatus.PENDING, JobStatus.WAITING}),
    JobStatus.WAITING: frozenset({JobStatus.PENDING, JobStatus.RUNNING}),
    JobStatus.SUCCEEDED: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.PENDING, JobStatus.RUNNING, JobStatus.WAITING}),
}
"""Statuses that may precede each status of a job. Nothing precedes PENDING."""

FINAL_JOB_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED})
FINAL_EXECUTION_STATUSES = frozenset({ExecutionStatus.SUCCEEDED, ExecutionStatus.PARTLY_FAILED, ExecutionStatus.FAILED})
