"""The states of an execution, a job and an attempt, and the moves between them that are allowed."""

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """One run of the workflow. The last three are final."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTLY_FAILED = "PARTLY_FAILED"
    FAILED = "FAILED"


class JobStatus(StrEnum):
    """One unit of the Map. SUCCEEDED and FAILED are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """An attempt failed for a reason that may pass; the next one has not been opened yet."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class AttemptStatus(StrEnum):
    """One SageMaker Processing job. SUCCEEDED and FAILED are final."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class WindowStatus(StrEnum):
    """A window of uploads. It takes uploads while it is OPEN; STARTED is final."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    STARTED = "STARTED"


class VersionState(StrEnum):
    """What was decided about a version that was trained. Only a PROMOTED one has ever been current."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    PROMOTED = "PROMOTED"
    REJECTED = "REJECTED"


class ExecutionKind(StrEnum):
    """Which of the two workflows an execution or a job belongs to."""

    SCORING = "scoring"
    TRAINING = "training"


class FailureKind(StrEnum):
    """Why an attempt or a job failed; decides whether another attempt can help."""

    TRANSIENT = "TRANSIENT"
    CAPACITY = "CAPACITY"
    DATA = "DATA"
    MODEL = "MODEL"
    CONFIGURATION = "CONFIGURATION"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"


ALLOWED_BEFORE: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.RUNNING: frozenset({JobStatus.PENDING, JobStatus.WAITING}),
    JobStatus.WAITING: frozenset({JobStatus.PENDING, JobStatus.RUNNING}),
    JobStatus.SUCCEEDED: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.PENDING, JobStatus.RUNNING, JobStatus.WAITING}),
}
"""For each status, the statuses that a job may come from. PENDING is only ever the first."""

FINAL_JOB_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED})
FINAL_EXECUTION_STATUSES = frozenset({ExecutionStatus.SUCCEEDED, ExecutionStatus.PARTLY_FAILED, ExecutionStatus.FAILED})
