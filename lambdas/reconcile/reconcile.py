"""Compare open records and running SageMaker jobs with the services' own state, and end what has
ended elsewhere.

However an execution ends, its records are closed and its jobs are stopped: by the events about its end
and its jobs, and if they are lost, by the schedule. Every step reads the current state first and
writes with a condition, so doubled, late and shuffled events change nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from contract.deadlines.lateness import Lateness, has_become_worse
from contract.status import ExecutionStatus, JobStatus
from contract.table.records import ExecutionRecord, JobRecord, record_time
from contract.workflow.messages import SummaryInput
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.keep_commits import keep_spot_commits_of_ended
from lambdas.closing.close import close_execution
from lambdas.errors import ClosingUnfinishedError, JobNotFoundError, KeptOutputsLeftError, ReconciliationError
from lambdas.planning.execution_record import close_unplanned_jobs
from lambdas.reconcile.deadlines import predicted_lateness
from lambdas.reconcile.decisions import ENDED_STATUSES, JobOwner, end_of, read_owner, runs_as, why_orphaned
from lambdas.reconcile.events import ExecutionEnd, JobChange, Sweep
from lambdas.reconcile.leases import Leases
from lambdas.stage.deployment import Deployment
from lambdas.stage.instance_quotas import SWEEP_AGE
from lambdas.stage.messaging.execution_reader import ExecutionReader
from lambdas.stage.messaging.task_tokens import TaskTokens
from lambdas.stage.observability import logger, publish_counts
from lambdas.stage.sagemaker_jobs import RunningJob, SageMakerJobs
from lambdas.stage.tables.open_executions import OpenExecutions, UnreadableExecution

_RUNNING, _STOPPED = "InProgress", "Stopped"
_SECONDS_TO_PREDICT = 60.0
"""Time that must be left to predict the end of an execution."""


@dataclass(frozen=True)
class Reconciled:
    """What a call has done."""

    executions_closed: int = 0
    jobs_stopped: int = 0
    leases_released: int = 0
    deadlines_at_risk: int = 0
    """Executions that will probably miss their deadline, since this call."""
    deadlines_missed: int = 0
    """Executions that will certainly miss their deadline, since this call."""
    unfinished: bool = False
    """Whether the time was too short, so that another call has to continue."""


class Reconciler:
    """Closes records and stops jobs."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        open_executions: OpenExecutions,
        executions: ExecutionReader,
        jobs: SageMakerJobs,
        tokens: TaskTokens,
        seconds_left: Callable[[], float],
    ) -> None:
        self._deployment = deployment
        self._open_executions = open_executions
        self._executions = executions
        self._jobs = jobs
        self._tokens = tokens
        self._seconds_left = seconds_left
        self._leases = Leases(deployment, jobs, executions)
        self._rules = ChecksumRules("sampled", seconds_left)

    def handle(self, event: JobChange | ExecutionEnd | Sweep) -> Reconciled:
        """Handle an event and return what was done. Idempotent.

        Raises:
            ReconciliationError: when executions could not be closed; the event is then delivered again.
        """
        match event:
            case ExecutionEnd(summary):
                # The end of a redriven execution is out of date.
                done = Reconciled() if summary is None else self._end(summary)
            case JobChange():
                done = self._handle_job(event)
            case Sweep():
                done = self._sweep()
        counts = {
            "ExecutionsReconciled": done.executions_closed,
            "OrphanedJobsStopped": done.jobs_stopped,
            "LeasesReconciled": done.leases_released,
            "DeadlinesAtRisk": done.deadlines_at_risk,
            "DeadlinesMissed": done.deadlines_missed,
        }
        if any(counts.values()):
            publish_counts(self._deployment.settings.stage, counts)
        return done

    def _handle_job(self, change: JobChange) -> Reconciled:
        """Stop a job that has started for nobody; release the instances of one that has ended.

        The end of a stopped job may be that of its execution, whose records are then closed.
        """
        if change.status in ENDED_STATUSES:
            # If every try conflicts with other calls, the event is delivered again.
            self._deployment.pools.release(change.name)
        if change.status not in (_RUNNING, _STOPPED):
            return Reconciled()
        if change.status == _RUNNING and self._is_awaited(change):
            return Reconciled()
        job = RunningJob(change.kind, change.name, change.arn)
        owner = self._owner(job)
        if owner is None:
            return Reconciled()
        if change.status == _RUNNING:
            return Reconciled(jobs_stopped=self._stop_orphan(job, owner))
        execution = self._deployment.table.find_execution(owner.execution_id)
        if execution is None:
            return Reconciled()
        done = self._close_if_ended(execution)
        record = self._find_job(owner)
        if record is not None and record.status is JobStatus.FAILED:
            # What the job has committed while it was being stopped.
            keep_spot_commits_of_ended(record, self._deployment.store, self._rules)
        return done

    def _sweep(self) -> Reconciled:
        """Close every execution that has ended, and stop every job that belongs to nobody."""
        now = self._deployment.clock()
        closed, unfinished = 0, False
        running: list[ExecutionRecord | UnreadableExecution] = []
        failed: list[str] = []
        for record in self._open_executions.find():
            if isinstance(record, UnreadableExecution):
                logger.error("the execution's record cannot be read", execution_id=record.execution_id, why=record.why)
                failed.append(record.execution_id)
                running.append(record)
                continue
            try:
                if not _is_open(record):
                    close_unplanned_jobs(record, self._deployment)
                    continue
                done = self._close_if_ended(record)
            except Exception:
                # Another execution's records must be closed all the same.
                logger.exception("the execution could not be closed", execution_id=record.execution_id)
                failed.append(record.execution_id)
                running.append(record)
                continue
            closed, unfinished = closed + done.executions_closed, unfinished or done.unfinished
            if not done.executions_closed:
                running.append(record)
        self._open_executions.remember(min((record.started_at for record in running), default=""), now)
        jobs = list(self._jobs.running(f"{self._deployment.settings.stage}-"))
        stopped = self._stop_orphans(jobs, running)
        released = self._leases.release_ended({job.name for job in jobs})
        self._deployment.quotas.fresh(SWEEP_AGE)
        late = [self._new_lateness(record) for record in running if isinstance(record, ExecutionRecord)]
        if failed:
            raise ReconciliationError(failed)
        return Reconciled(
            executions_closed=closed,
            jobs_stopped=stopped,
            leases_released=released,
            deadlines_at_risk=late.count(Lateness.LIKELY),
            deadlines_missed=late.count(Lateness.CERTAIN),
            unfinished=unfinished,
        )

    # ---- executions --------------------------------------------------------------------------

    def _close_if_ended(self, execution: ExecutionRecord) -> Reconciled:
        # The index may be out of date.
        record = self._deployment.table.find_execution(execution.execution_id)
        if record is None or not _is_open(record):
            return Reconciled()
        end = end_of(record, self._executions.read(record.execution_arn), self._deployment.clock())
        return Reconciled() if end is None else self._close(end)

    def _end(self, end: SummaryInput) -> Reconciled:
        """Close an execution that has ended abnormally, and release the instances for which it has no jobs."""
        done = self._close(end)
        return replace(done, leases_released=self._leases.release_of(end.execution_id))

    def _close(self, end: SummaryInput) -> Reconciled:
        try:
            outcome = close_execution(
                end, self._deployment, self._tokens, self._seconds_left, before_counting=self._keep_commits
            )
        except ClosingUnfinishedError as error:
            logger.warning(str(error))
            return Reconciled(unfinished=True)
        logger.info("the execution has ended", execution_id=end.execution_id, status=outcome.status)
        return Reconciled(executions_closed=1)

    def _keep_commits(self, job: JobRecord) -> None:
        """Copy what an unfinished job has scored on spot capacity, as far as the time allows."""
        try:
            keep_spot_commits_of_ended(job, self._deployment.store, self._rules)
        except KeptOutputsLeftError as error:
            logger.warning(str(error))

    def _new_lateness(self, record: ExecutionRecord) -> Lateness | None:
        """Record that an execution will miss its deadline, and return the lateness if nobody has yet.

        A failure is logged only: the next call predicts again.
        """
        if self._seconds_left() < _SECONDS_TO_PREDICT:
            return None
        try:
            lateness, predicted = predicted_lateness(record, self._deployment)
            if not has_become_worse(lateness, record.lateness):
                return None
            end = record_time(predicted.expected) if predicted else ""
            if lateness is None or not self._open_executions.record_lateness(record.execution_id, lateness, end):
                return None
        except Exception:
            logger.exception("the end of the execution could not be predicted", execution_id=record.execution_id)
            return None
        logger.warning(
            "the execution will miss its deadline",
            execution_id=record.execution_id,
            lateness=lateness.value,
            deadline_at=record.deadline_at,
            expected_end_at=end,
        )
        return lateness

    # ---- jobs --------------------------------------------------------------------------------

    def _is_awaited(self, change: JobChange) -> bool:
        """Return whether a job that has started is one for which the workflow waits.

        The records of the job that its inputs name show it mostly, else those that its lease names.
        SageMaker limits the rate of ListTags, which tells the owner of a job without a lease.
        """
        table, owner = self._deployment.table, change.named_owner
        if owner is not None and runs_as(change.name, *table.find_job(owner.execution_id, owner.job_id)):
            return True
        lease = self._deployment.pools.find_lease(change.name)
        if lease is None:
            return False
        job, execution = table.find_job(lease.execution_id, lease.job_id)
        return job is not None and execution is not None and not why_orphaned(change.name, execution, job)

    def _stop_orphans(
        self, jobs: Iterable[RunningJob], running: Iterable[ExecutionRecord | UnreadableExecution]
    ) -> int:
        known = {name for execution in running for name in self._open_executions.running_jobs(execution.execution_id)}
        stopped = 0
        for job in jobs:
            if job.name not in known and (owner := self._owner(job)) is not None:
                stopped += self._stop_orphan(job, owner)
        return stopped

    def _owner(self, job: RunningJob) -> JobOwner | None:
        return read_owner(self._jobs.tags(job.arn), self._deployment.settings.stage)

    def _stop_orphan(self, job: RunningJob, owner: JobOwner) -> int:
        """Stop a running job if it belongs to nobody, and return the number of stopped jobs."""
        table = self._deployment.table
        why = why_orphaned(job.name, table.find_execution(owner.execution_id), self._find_job(owner))
        if not why:
            return 0
        logger.warning("a job that belongs to nobody is stopped", sagemaker_job_name=job.name, why=why)
        self._jobs.stop(job.kind, job.name)
        return 1

    def _find_job(self, owner: JobOwner) -> JobRecord | None:
        try:
            return self._deployment.table.job(owner.execution_id, owner.job_id)
        except JobNotFoundError:
            return None


def _is_open(record: ExecutionRecord) -> bool:
    """Return whether the execution's records have to be closed, or something is missing that follows its end."""
    return record.status is ExecutionStatus.RUNNING or record.closing_pending
