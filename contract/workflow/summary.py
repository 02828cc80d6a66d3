"""The summary of an execution (`summary.json`): how it ended, job by job."""

from dataclasses import dataclass
from typing import Any

from contract.job.parts import Sharding
from contract.job.spot_time import SpotTime
from contract.planner.figures import ActualFigures, PlanFigures
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus


@dataclass(frozen=True)
class PartSummary:
    """One part of a job that the plan split."""

    part: int
    """Number of the part, from 1."""
    job_id: str
    """Id of the part's own record, folders and SageMaker jobs."""
    status: JobStatus
    attempts: int
    sagemaker_job_name: str
    object_count: int
    input_bytes: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    seconds: float
    failure_kind: FailureKind | None = None
    reason: str = ""
    rows_skipped: int = 0
    objects_committed: int = 0
    """As in `JobSummary`."""


@dataclass(frozen=True)
class JobSummary:
    job_id: str
    status: JobStatus
    dataset: str
    model_ids: tuple[str, ...]
    model_versions: tuple[str, ...]
    attempts: int
    """Attempts of the job; of the part with most if it is split."""
    sagemaker_job_name: str
    """Empty if the job is split: each part has its own."""
    object_count: int
    input_bytes: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    seconds: float
    """Seconds from the start of the first attempt to the end of the job, including waits."""
    predictions_uris: tuple[str, ...]
    """One prefix per model, or one for all with `output_layout` joined and for a fleet.

    A split job has them per part. Empty unless the job succeeded.
    """
    failure_kind: FailureKind | None = None
    reason: str = ""
    outcome: str = ""
    """Result of a training job: whether its version was promoted, and why."""
    quarantine_uris: tuple[str, ...] = ()
    """One prefix per model, and per part if the job is split; empty unless the job succeeded and
    quarantined rows."""
    duplicate_keys: int = 0
    """Rows with the same key as an earlier row of the same object, summed over all models."""
    null_keys: int = 0
    """Rows with a null in a key column, summed over all models."""
    notes: tuple[str, ...] = ()
    """Notes for people on how the models were loaded: library warnings, accelerators, custom
    code. Also why a job is split."""
    sharding: Sharding | None = None
    """Division of the objects between instances; None for a job of one instance."""
    parts: tuple[PartSummary, ...] = ()
    """The parts of a split job."""
    fleet: str = ""
    """Id of the fleet whose models score the job; it is then the only one of `model_ids`."""
    fleet_models: int = 0
    """Number of the fleet's models, which the job's spec names."""
    rows_skipped: int = 0
    """Rows that no model of the fleet has a route for, and that are in no output."""
    objects_committed: int = 0
    """Objects that are in the ledger and in S3, when they were last counted; also after a failure. An
    object counts once per model."""
    spot_time: SpotTime | None = None
    """What SageMaker has billed of the attempts on spot capacity; None for a job that has had none."""
    estimated_seconds: float = 0.0
    """Seconds that the plan expected of a SageMaker job; of the longest part if the job is split. 0 without an
    estimate."""


@dataclass(frozen=True)
class ExecutionSummary:
    execution_id: str
    execution_arn: str
    label: str
    status: ExecutionStatus
    request: Any
    started_at: str
    ended_at: str
    reason: str
    """Reason why the execution did not succeed, with the remedy; empty if it succeeded."""
    jobs_total: int
    jobs_succeeded: int
    jobs_failed: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    jobs: tuple[JobSummary, ...]
    kind: ExecutionKind = ExecutionKind.SCORING
    training_execution_id: str = ""
    """The training execution that this one started first."""
    rows_skipped: int = 0
    """Rows of fleet jobs that are in no output."""
    objects_pinned: int = 0
    """Objects that the jobs had to commit: `objects_committed` and `objects_failed`. An object counts once
    per model."""
    objects_committed: int = 0
    objects_failed: int = 0
    violations: tuple[str, ...] = ()
    """The first violations of the accounting. An execution with one never succeeds."""
    training_failure: str = ""
    """Reason why the training did not succeed, if this execution scored nevertheless."""
    resumes: str = ""
    """Id of the execution that this one continues."""
    notes: tuple[str, ...] = ()
    """What a resumed execution keeps and scores again, and why, as its plan has counted."""
    commits_kept: int = 0
    """Commits that its jobs have taken over."""
    deadline_at: str = ""
    """Time of the request's deadline; empty if it has none."""
    estimate: PlanFigures | None = None
    """What the plan expected."""
    actual: ActualFigures | None = None
    """What the execution has used, if it has an estimate."""
