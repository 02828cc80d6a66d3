"""Events on the stage's bus: one for each change of the status of an execution or a job, and of what is
predicted about a deadline.

Each event is delivered at least once, possibly late or out of order. Repeated deliveries have the
same `event_id`. Of two changes of one execution, job or part of a job, the later
one has the greater `sequence`.
"""

from dataclasses import dataclass

from contract.deadlines.lateness import Lateness, has_become_worse
from contract.status import (
    FINAL_EXECUTION_STATUSES,
    FINAL_JOB_STATUSES,
    ExecutionKind,
    ExecutionStatus,
    FailureKind,
    JobStatus,
)
from contract.table.records import ExecutionRecord, JobRecord

SOURCE = "fleetscore"
EXECUTION_DETAIL_TYPE = "Fleetscore Execution Status Change"
JOB_DETAIL_TYPE = "Fleetscore Job Status Change"
DEADLINE_DETAIL_TYPE = "Fleetscore Deadline At Risk"

_REASON_CHARACTERS = 4_000
"""Longest reason in an event, in characters. PutEvents takes 256 KB for up to ten events; the
record has the whole text."""


@dataclass(frozen=True)
class ExecutionStatusChange:
    """Event: an execution started or ended."""

    event_id: str
    sequence: int
    stage: str
    execution_id: str
    execution_arn: str
    status: ExecutionStatus
    previous_status: ExecutionStatus | None
    """None if `status` is the first one."""
    label: str
    started_at: str
    ended_at: str
    """Empty while the execution runs, like the fields below."""
    reason: str
    summary_uri: str
    jobs_succeeded: int
    jobs_failed: int
    kind: ExecutionKind = ExecutionKind.SCORING


@dataclass(frozen=True)
class JobStatusChange:
    """Event: a job's status changed, or a new attempt began."""

    event_id: str
    sequence: int
    stage: str
    execution_id: str
    job_id: str
    status: JobStatus
    previous_status: JobStatus | None
    attempt: int
    dataset: str
    model_ids: tuple[str, ...]
    model_versions: tuple[str, ...]
    started_at: str
    ended_at: str
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    failure_kind: FailureKind | None
    reason: str
    kind: ExecutionKind = ExecutionKind.SCORING
    outcome: str = ""
    """Result of a training job that succeeded."""
    part: int = 0
    """Number, from 1, of the part of the job that changed; 0 if the job is not split. Rows are the
    part's. The job has succeeded when all its parts have."""
    parts: int = 0
    """Number of the job's parts; 0 if it is not split."""
    fleet: str = ""
    """Id of the fleet whose models score the job; it is then the only one of `model_ids`."""
    rows_skipped: int = 0
    """Rows that no model of the fleet has a route for, and that are in no output."""
    changes: tuple[str, ...] = ()
    """What differs in this attempt from the job's settings because of earlier ones, and why."""


@dataclass(frozen=True)
class DeadlineAtRisk:
    """Event: a running execution will probably, or certainly, miss its deadline."""

    event_id: str
    sequence: int
    stage: str
    execution_id: str
    execution_arn: str
    label: str
    started_at: str
    deadline_at: str
    lateness: Lateness
    expected_end_at: str
    """Expected end; empty if it cannot be predicted."""


def deadline_event(stage: str, record: ExecutionRecord, before: ExecutionRecord | None) -> DeadlineAtRisk | None:
    """Return the event for a record that replaced `before`; None if its deadline is not more endangered."""
    if record.lateness is None or not has_become_worse(record.lateness, before.lateness if before else None):
        return None
    return DeadlineAtRisk(
        event_id=f"{stage}/{record.execution_id}@{record.started_at}/{record.lateness.value}",
        sequence=1 if record.lateness is Lateness.CERTAIN else 0,
        stage=stage,
        execution_id=record.execution_id,
        execution_arn=record.execution_arn,
        label=record.label,
        started_at=record.started_at,
        deadline_at=record.deadline_at,
        lateness=record.lateness,
        expected_end_at=record.expected_end_at,
    )


def execution_event(
    stage: str, record: ExecutionRecord, before: ExecutionRecord | None
) -> ExecutionStatusChange | None:
    """Return the event for a record that replaced `before`; None if its status is unchanged."""
    if before is not None and before.status is record.status:
        return None
    sequence = 1 if record.status in FINAL_EXECUTION_STATUSES else 0
    return ExecutionStatusChange(
        event_id=f"{stage}/{record.execution_id}@{record.started_at}/{sequence}",
        sequence=sequence,
        stage=stage,
        execution_id=record.execution_id,
        execution_arn=record.execution_arn,
        status=record.status,
        previous_status=before.status if before else None,
        label=record.label,
        started_at=record.started_at,
        ended_at=record.ended_at,
        reason=record.reason[:_REASON_CHARACTERS],
        summary_uri=record.summary_uri,
        jobs_succeeded=record.jobs_succeeded,
        jobs_failed=record.jobs_failed,
        kind=record.kind,
    )


def job_event(stage: str, record: JobRecord, before: JobRecord | None) -> JobStatusChange | None:
    """Return the event for a record that replaced `before`; None if status and attempt are
    unchanged."""
    if before is not None and (before.status, before.attempt) == (record.status, record.attempt):
        return None
    # An attempt runs, then waits or ends, so each attempt has three sequence numbers in this order.
    place = 2 if record.status in FINAL_JOB_STATUSES else 1 if record.status is JobStatus.WAITING else 0
    sequence = 3 * record.attempt + place
    return JobStatusChange(
        event_id=f"{stage}/{record.execution_id}/{record.job_id}@{record.created_at}/{sequence}",
        sequence=sequence,
        stage=stage,
        execution_id=record.execution_id,
        job_id=record.part.job_id if record.part else record.job_id,
        status=record.status,
        previous_status=before.status if before else None,
        attempt=record.attempt,
        dataset=record.dataset,
        model_ids=record.model_ids,
        model_versions=record.model_versions,
        started_at=record.started_at,
        ended_at=record.ended_at,
        rows_in=record.rows_in,
        rows_scored=record.rows_scored,
        rows_quarantined=record.rows_quarantined,
        failure_kind=record.failure_kind,
        reason=record.reason[:_REASON_CHARACTERS],
        kind=record.kind,
        outcome=record.outcome,
        part=record.part.number if record.part else 0,
        parts=record.part.count if record.part else 0,
        fleet=record.fleet,
        rows_skipped=record.rows_skipped,
        changes=record.changes,
    )
