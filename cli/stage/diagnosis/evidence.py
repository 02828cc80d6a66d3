"""Gathers what is known about an execution's failure, from every place that knows something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import ClientError

from cli.failures import CommandError, describe_refusal
from cli.stage.connection import Connection
from cli.stage.diagnosis.attempt_logs import AttemptLogs
from cli.stage.diagnosis.container_log import FailedObject, failed_object
from cli.stage.diagnosis.job_choice import all_items, items_of, job_name
from cli.stage.diagnosis.sagemaker_jobs import SageMakerJob, SageMakerJobs, is_job_name
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from contract.status import AttemptStatus, FailureKind, JobStatus, SageMakerKind, sagemaker_kind
from contract.table.records import AttemptRecord, JobRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Evidence:
    """What is known about an execution, and about one job of it."""

    snapshot: Snapshot
    asked_job: str = ""
    """The job that the person named; empty if any job explains the execution."""
    job: JobRecord | None = None
    """The job to explain, or the part of a split job; None if no job failed or waits."""
    attempts: tuple[AttemptRecord, ...] = ()
    """The attempts of this job, in order."""
    sagemaker_job: SageMakerJob | None = None
    """The SageMaker job of the last failed attempt."""
    failed_object: FailedObject | None = None
    training: Snapshot | None = None
    """The training execution of a scoring execution of which no job failed."""
    unread: tuple[str, ...] = ()
    """What could not be read, and why."""

    @property
    def failed_attempt(self) -> AttemptRecord | None:
        """Return the last attempt that failed; None if no attempt of the job did."""
        failed = [attempt for attempt in self.attempts if attempt.status is AttemptStatus.FAILED]
        return failed[-1] if failed else None


class Investigation:
    """Reads evidence about failures of a stage. What may not be read is left out and named."""

    def __init__(self, connection: Connection, executions: Executions) -> None:
        self._connection = connection
        self._executions = executions
        self._unread: list[str] = []

    def find(self, name: str) -> tuple[str, str]:
        """Return the execution and the job that a name stands for; no job for an execution's.

        A name is the id or the ARN of an execution, or that of an attempt's SageMaker job.

        Raises:
            CommandError: when there is neither.
        """
        try:
            return self._executions.snapshot(name, count_committed=False).execution_id, ""
        except CommandError:
            if not is_job_name(name):
                raise
        jobs = SageMakerJobs(self._connection)
        for kind in SageMakerKind:
            found = jobs.find(name, kind)
            if found is not None and found.job_id:
                return found.execution_id, found.job_id
        raise CommandError(
            f"There is no execution and no SageMaker job {name!r} of this stage. `fleetscore list` shows executions; "
            "check --stage and --region."
        )

    def read(self, execution: str, job: str = "") -> Evidence:
        """Return the evidence about an execution, and about the job, or one that explains it.

        Raises:
            CommandError: when the execution or the job does not exist.
        """
        snapshot = self._executions.snapshot(execution)
        if not snapshot.jobs:
            if job:
                items_of(snapshot, job)
            return Evidence(snapshot, training=self._training(snapshot))
        attempts = self._executions.attempts(snapshot.execution_id)
        item = _worst(items_of(snapshot, job)) if job else explaining_job(snapshot)
        if item is None:
            return Evidence(snapshot, training=self._training(snapshot))
        return self._of_attempt(Evidence(snapshot, job, item, tuple(attempts.get(item.job_id, ()))))

    def read_others(self, explained: Evidence, names: Sequence[str]) -> list[Evidence]:
        """Return the evidence about other jobs of an execution, by their names for people."""
        attempts = self._executions.attempts(explained.snapshot.execution_id)
        items = {job_name(item): item for item in all_items(explained.snapshot)}
        return [
            self._of_attempt(
                Evidence(explained.snapshot, job=items[name], attempts=tuple(attempts.get(items[name].job_id, ())))
            )
            for name in names
        ]

    def _of_attempt(self, found: Evidence) -> Evidence:
        attempt = found.failed_attempt
        if attempt is None or not attempt.sagemaker_job_name:
            return found
        kind, name = found.snapshot.kind, attempt.sagemaker_job_name
        of_service = sagemaker_kind(kind, spot=attempt.spot)
        described = self._try("its SageMaker job", lambda: SageMakerJobs(self._connection).find(name, of_service))
        message = " ".join((described.exit_message if described else "", attempt.cause, attempt.reason))
        logs = AttemptLogs(self._connection)
        in_log = self._try("its log", lambda: failed_object(logs, attempt, kind, message))
        return Evidence(
            **{**vars(found), "sagemaker_job": described, "failed_object": in_log, "unread": tuple(self._unread)}
        )

    def _training(self, snapshot: Snapshot) -> Snapshot | None:
        name = snapshot.record.training_execution_id if snapshot.record is not None else ""
        try:
            return self._executions.snapshot(name, count_committed=False) if name else None
        except CommandError:
            return None

    def _try(self, what: str, read: Callable[[], T | None]) -> T | None:
        """Return what is read; None, and a line in `unread`, if the caller may not read it."""
        try:
            return read()
        except ClientError as error:
            self._unread.append(f"{what}: {describe_refusal(error)}")
            return None


def explaining_job(snapshot: Snapshot) -> JobRecord | None:
    """Return the job or part that explains best why an execution has not succeeded.

    Jobs that were only stopped are consequences of others, so they come last, then jobs that wait
    for another attempt.
    """
    items = all_items(snapshot)
    failed = [item for item in items if item.status is JobStatus.FAILED]
    causes = [item for item in failed if item.failure_kind is not FailureKind.STOPPED]
    waiting = [item for item in items if item.status is JobStatus.WAITING]
    chosen = causes or failed or waiting
    return min(chosen, key=lambda item: (item.ended_at, item.job_id), default=None)


def _worst(items: Sequence[JobRecord]) -> JobRecord:
    """Return the part of a job that explains it: the first that failed, else the first that waits."""
    order = (JobStatus.FAILED, JobStatus.WAITING, JobStatus.RUNNING, JobStatus.PENDING, JobStatus.SUCCEEDED)
    return min(items, key=lambda item: (order.index(item.status), item.failure_kind is FailureKind.STOPPED))
