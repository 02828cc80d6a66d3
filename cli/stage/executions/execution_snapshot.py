"""An execution's state, merged from its records and from Step Functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cli.failures import ExitStatus
from contract.status import FINAL_EXECUTION_STATUSES, FINAL_JOB_STATUSES, ExecutionKind, ExecutionStatus
from contract.table import records
from contract.table.records import ExecutionRecord, JobRecord, record_time

_FORGOTTEN_AFTER = timedelta(days=89)
"""Least time between two executions with one name. Step Functions forgets a name 90 days after the end."""


@dataclass(frozen=True)
class WorkflowState:
    """Status of an execution in Step Functions."""

    status: str
    """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE."""
    started_at: datetime
    stopped_at: datetime | None = None
    error: str = ""
    cause: str = ""
    arn: str = ""

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "PENDING_REDRIVE")


@dataclass(frozen=True)
class Snapshot:
    """An execution as of `read_at`: its records, and its status in Step Functions."""

    execution_id: str
    read_at: datetime
    workflow: WorkflowState | None
    """None after 90 days, when Step Functions has deleted the execution."""
    record: ExecutionRecord | None
    """None until PlanExecution has written it."""
    jobs: tuple[JobRecord, ...] = ()
    """The jobs; one record for all parts of a split job."""
    committed: Mapping[str, int] = field(default_factory=dict)
    """Committed objects by job or part, of the first running and failed ones."""
    training: "Snapshot | None" = None
    """The training execution that this one is waiting for."""
    parts: Mapping[str, tuple[JobRecord, ...]] = field(default_factory=dict)
    """The parts of split jobs, by job id."""

    @property
    def kind(self) -> ExecutionKind:
        if self.record is not None:
            return self.record.kind
        return records.execution_kind(self.workflow.arn) if self.workflow is not None else ExecutionKind.SCORING

    @property
    def ended(self) -> bool:
        if self.workflow is not None:
            return self.workflow.ended
        return self.record is not None and self.record.status in FINAL_EXECUTION_STATUSES

    @property
    def closed(self) -> bool:
        """Whether the records are final.

        The records of a stopped execution are closed shortly after its end.
        """
        if self.record is not None:
            return self.record.status in FINAL_EXECUTION_STATUSES
        return self.workflow is not None and self.workflow.status == ExecutionStatus.SUCCEEDED.value

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, PARTLY_FAILED, FAILED, TIMED_OUT or ABORTED.

        Step Functions is right if both disagree.
        """
        if self.workflow is None:
            return self.record.status.value if self.record else "UNKNOWN"
        status = self.workflow.status
        if not self.workflow.ended:
            return ExecutionStatus.RUNNING.value
        # A partly failed execution is FAILED for Step Functions, so that alarms on failures see it.
        if status == "FAILED" and self.record is not None and self.record.status is ExecutionStatus.PARTLY_FAILED:
            return ExecutionStatus.PARTLY_FAILED.value
        return status

    @property
    def has_older_records(self) -> bool:
        """Whether the records are those of an earlier execution, whose name Step Functions had forgotten."""
        if self.workflow is None or self.record is None or not self.closed:
            return False
        return self.workflow.started_at - datetime.fromisoformat(self.record.started_at) > _FORGOTTEN_AFTER

    @property
    def note(self) -> str:
        """Explanation of what the records do not show; empty when they are complete."""
        if self.workflow is None:
            return "" if self.ended else "Step Functions does not know this execution, and its record was never closed."
        if not self.workflow.ended:
            return self._start_note()
        return self._older_note() or self._end_note()

    def _older_note(self) -> str:
        if self.workflow is None or self.record is None or not self.has_older_records:
            return ""
        return (
            f"The records are those of an earlier execution with this name, which started at {self.record.started_at}. "
            f"The one that started at {record_time(self.workflow.started_at)} was refused for that reason "
            f"({self._end_text()})."
        )

    def _end_note(self) -> str:
        assert self.workflow is not None  # noqa: S101 - the caller has checked it
        if self.record is None:
            return (
                f"The execution ended ({self._end_text()}) and has no record: it ended before it was planned, "
                "or its record has expired."
            )
        if not self.closed:
            open_jobs = sum(job.status not in FINAL_JOB_STATUSES for job in self.jobs)
            return (
                f"The execution ended ({self._end_text()}), but its records are not closed. Jobs that are shown as "
                f"open ({open_jobs:,}) do not continue: score the rest with `fleetscore resume`."
            )
        if (self.record.status is ExecutionStatus.SUCCEEDED) != (self.workflow.status == "SUCCEEDED"):
            return f"The record says {self.record.status.value}, but Step Functions says {self._end_text()}."
        return ""

    def _start_note(self) -> str:
        if self.record is None:
            return "The execution is being planned."
        if self.record.training_execution_id and self.record.plan is None:
            return f"The execution trains first, in execution {self.record.training_execution_id}."
        if self.record.resumes and self.record.plan is None:
            return f"The execution is being planned, once every SageMaker job of {self.record.resumes} has ended."
        return ""

    def _end_text(self) -> str:
        assert self.workflow is not None  # noqa: S101 - callers have checked it
        detail = ": ".join(part for part in (self.workflow.error, self.workflow.cause) if part)
        return f"{self.workflow.status}, {detail}" if detail else self.workflow.status

    @property
    def reason(self) -> str:
        """Reason why the execution did not succeed; empty when unknown."""
        if self.record is not None and self.record.reason:
            return self.record.reason
        return self.workflow.cause if self.workflow is not None else ""

    @property
    def exit_status(self) -> ExitStatus:
        outcomes = {"SUCCEEDED": ExitStatus.SUCCEEDED, "PARTLY_FAILED": ExitStatus.PARTLY_FAILED}
        if self.record is not None and self.record.status.value not in outcomes:
            return ExitStatus.FAILED
        return outcomes.get(self.status, ExitStatus.FAILED)
