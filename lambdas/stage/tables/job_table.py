"""The table of executions, jobs and attempts. The catalog is in the same one: see `catalog_table`.

Every write has a condition, so a late or duplicate event changes nothing. A job changes its status
only as `contract.status.ALLOWED_BEFORE` allows, an attempt is opened once, and a final record never
changes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from contract.catalog.models import Model, ModelVersion
from contract.status import (
    ALLOWED_BEFORE,
    FINAL_JOB_STATUSES,
    AttemptStatus,
    FailureKind,
    JobStatus,
)
from contract.table import catalog_items, records
from contract.table.catalog_ids import catalog_id_key
from contract.table.explanation import UNEXPLAINED, Explanation
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.table.tolerance import NOTHING, Tally
from lambdas.errors import (
    JobClosedError,
    JobNotFoundError,
    StaleEventError,
)
from lambdas.stage.parallel import in_parallel
from lambdas.stage.tables.catalog_table import CatalogTable
from lambdas.stage.tables.execution_table import ExecutionTable
from lambdas.stage.tables.price_table import StagePrices
from lambdas.stage.tables.table import NEW, in_transactions
from lambdas.stage.tables.tallies import Tallies
from lambdas.stage.tables.waits import NO_WAIT, Waits

R = TypeVar("R")


@dataclass(frozen=True)
class JobState:
    """The records that a step of one attempt needs."""

    job: JobRecord
    attempt: AttemptRecord | None
    """None if the attempt was not opened yet."""
    execution: ExecutionRecord | None
    others: Sequence[dict[str, Any] | None] = ()
    """Items of other tables' classes that were read in the same request; None for each that does not exist."""

    def is_job_newer(self, number: int) -> bool:
        """Return whether attempt `number` was opened or ended, with its job, between the reads of the two."""
        runs = (self.job.status, self.job.attempt) == (JobStatus.RUNNING, number)
        seen = self.attempt is not None and self.attempt.status is AttemptStatus.RUNNING
        return self.job.attempt >= number and (self.attempt is None or (seen and not runs))


@dataclass(frozen=True)
class Release:
    """The release of an attempt's instances, to be made with the attempt's end."""

    writes: Sequence[dict[str, Any]]
    """Writes that release them if the pool is as it was read. None are needed for an attempt without a lease."""
    otherwise: Callable[[], object]
    """Releases them if it is not."""


class JobTable(ExecutionTable, Tallies, Waits, CatalogTable, StagePrices):
    """Reads and writes the records of executions, jobs and attempts, and registers what was trained.

    All writes are idempotent.
    """

    # ---- jobs --------------------------------------------------------------------------------

    def add_jobs(self, jobs: Iterable[JobRecord]) -> int:
        """Write the records of planned jobs and return how many were new.

        Existing records are not changed.

        BatchWriteItem has no conditions, so a second, slower call of the plan would reset jobs that
        already run. Transactions take twice the write capacity of single puts, and a tenth of the
        CPU time.
        """
        return sum(in_parallel(self._add_new, in_transactions(self._job_item(job) for job in jobs)))

    def job(self, execution_id: str, job_id: str) -> JobRecord:
        """Return the job's record.

        Raises:
            JobNotFoundError: when there is none.
        """
        record = self._get(JobRecord, records.job_key(execution_id, job_id))
        if record is None:
            raise JobNotFoundError(execution_id, job_id)
        return record

    def find_job(self, execution_id: str, job_id: str) -> tuple[JobRecord | None, ExecutionRecord | None]:
        """Return a job and its execution, read in one request; None for each that does not exist."""
        keys = records.job_key(execution_id, job_id), records.execution_key(execution_id)
        job, execution = self._get_each(*keys)
        return (
            records.read_item(JobRecord, job) if job else None,
            records.read_item(ExecutionRecord, execution) if execution else None,
        )

    def job_state(self, execution_id: str, job_id: str, attempt: int, *others: Mapping[str, str]) -> JobState:
        """Return a job with one of its attempts and its execution, read in one request with the items of `others`.

        Raises:
            JobNotFoundError: when there is no such job.
        """
        job, opened, execution, *more = self._get_each(
            records.job_key(execution_id, job_id),
            records.attempt_key(execution_id, job_id, attempt),
            records.execution_key(execution_id),
            *others,
        )
        if job is None:
            raise JobNotFoundError(execution_id, job_id)
        state = JobState(
            records.read_item(JobRecord, job),
            records.read_item(AttemptRecord, opened) if opened else None,
            records.read_item(ExecutionRecord, execution) if execution else None,
            more,
        )
        if state.is_job_newer(attempt):
            return replace(state, attempt=self.find_attempt(execution_id, job_id, attempt))
        return state

    def jobs(self, execution_id: str) -> list[JobRecord]:
        """Return every job of the execution, ordered by job id."""
        return list(self._query_execution(JobRecord, execution_id, records.JOB_SORT_PREFIX))

    def planned_at(self, execution_id: str) -> str:
        """Return when the execution's jobs were planned; empty if it has none."""
        first = next(self._query_execution(JobRecord, execution_id, records.JOB_SORT_PREFIX, page_items=1), None)
        return first.created_at if first else ""

    def close_job(self, job: JobRecord, *, ended_at: str, kind: FailureKind, reason: str) -> JobRecord:
        """Record a job and its current attempt as failed, when no later event will end them.

        Return the job's final record: the one written here, or the one that another event wrote
        first.
        """
        while job.status not in FINAL_JOB_STATUSES:
            closed = replace(
                job,
                status=JobStatus.FAILED,
                ended_at=max(ended_at, job.started_at),
                failure_kind=kind,
                reason=reason,
                unrecorded_failure="",
                classification_failure="",
                **NO_WAIT,
            )
            writes = [self._job_move(job, closed)]
            attempt = self.find_attempt(job.execution_id, job.job_id, job.attempt)
            if attempt is not None and attempt.status is AttemptStatus.RUNNING:
                writes.append(self._attempt_end(_ended(attempt, closed)))
            if self._write_all(writes):
                return closed
            job = self.job(job.execution_id, job.job_id)
        return job

    # ---- attempts ----------------------------------------------------------------------------

    def check_may_open(self, job: JobRecord, attempt: int) -> None:
        """Check that the job waits for this attempt.

        Raises:
            JobClosedError: when the job has ended.
            StaleEventError: when the job is in another attempt.
        """
        if job.status not in (JobStatus.PENDING, JobStatus.WAITING) or job.attempt >= attempt:
            raise self._refusal(job, attempt)

    def opening(self, job: JobRecord, attempt: AttemptRecord) -> list[dict[str, Any]]:
        """Return the writes that open an attempt of a waiting job, for one transaction."""
        running = replace(
            job,
            status=JobStatus.RUNNING,
            attempt=attempt.attempt,
            sagemaker_job_name=attempt.sagemaker_job_name or job.sagemaker_job_name,
            started_at=job.started_at or attempt.started_at,
            failure_kind=None,
            reason="",
            changes=attempt.changes,
            **NO_WAIT,
        )
        return [self._new_attempt(attempt), self._job_move(job, running)]

    def open_attempt(self, job: JobRecord, attempt: AttemptRecord) -> AttemptRecord:
        """Open an attempt of a waiting job, or return the attempt that an earlier call opened.

        Raises:
            JobClosedError: when the job has ended.
            StaleEventError: when the job is in another attempt.
        """
        if self._write_all(self.opening(job, attempt)):
            return attempt
        opened = self.find_attempt(attempt.execution_id, attempt.job_id, attempt.attempt)
        if opened is not None:
            return opened
        raise self._refusal(job, attempt.attempt)

    def find_attempt(self, execution_id: str, job_id: str, attempt: int) -> AttemptRecord | None:
        return self._get(AttemptRecord, records.attempt_key(execution_id, job_id, attempt))

    def attempts(self, execution_id: str, job_id: str) -> list[AttemptRecord]:
        """Return the job's attempts in order."""
        return list(self._query_execution(AttemptRecord, execution_id, f"{records.ATTEMPT_SORT_PREFIX}{job_id}#"))

    def all_attempts(self, execution_id: str) -> Iterator[AttemptRecord]:
        """Yield every attempt of the execution, page by page."""
        return self._query_execution(AttemptRecord, execution_id, records.ATTEMPT_SORT_PREFIX)

    def end_attempt(
        self,
        job: JobRecord,
        moved: JobRecord,
        *,
        ended_at: str,
        opened: AttemptRecord | None = None,
        explanation: Explanation = UNEXPLAINED,
        tally: Tally = NOTHING,
        release: Release | None = None,
    ) -> JobRecord:
        """End the attempt `moved.attempt` and change its job's status, in one transaction.

        The job becomes SUCCEEDED, FAILED or WAITING. An attempt that could not be opened has no
        record yet and gets one. Return the job's record afterwards: `moved`, or the current record
        when an earlier event ended this attempt. `tally` is added to the execution's in the same
        transaction, and with `release`, its instances are released. `opened` is the attempt's record as it
        was read; without it, it is read here.

        Raises:
            JobClosedError: when the job has ended without this attempt.
            StaleEventError: when the job is in another attempt.
        """
        opened = opened or self.find_attempt(job.execution_id, job.job_id, moved.attempt)
        if opened is not None and opened.status is not AttemptStatus.RUNNING:
            return self.job(job.execution_id, job.job_id)
        moved = replace(moved, **NO_WAIT)
        if opened is not None:
            attempt_write = self._attempt_end(_ended(opened, moved, ended_at, explanation))
        else:
            attempt_write = self._new_attempt(_ended(_never_opened(moved, ended_at), moved, ended_at, explanation))
        follows = moved.attempt in (job.attempt, job.attempt + 1)
        writes = [attempt_write, self._job_move(job, moved)]
        if tally:
            writes.append(self._tally_write(moved, tally, self._expires_at(job.created_at, ended_at)))
        if follows and release is not None:
            if self._write_together([*writes, *release.writes]):
                return moved
            # First, so that a job that has succeeded never has a lease.
            release.otherwise()
        if follows and self._write_all(writes):
            return moved
        opened = self.find_attempt(job.execution_id, job.job_id, moved.attempt)
        if opened is not None and opened.status is not AttemptStatus.RUNNING:
            return self.job(job.execution_id, job.job_id)
        raise self._refusal(job, moved.attempt)

    # ---- trained models ----------------------------------------------------------------------

    def register_trained(
        self, job: JobRecord, succeeded: JobRecord, version: ModelVersion, before: Model | None, after: Model | None
    ) -> bool:
        """Write a trained version, the succeeded job and, if given, the model `after`.

        All are written in one transaction. Return False when the version's name is used already, the job or
        its attempt has changed, or the model differs from `before`.
        """
        attempt = self.find_attempt(job.execution_id, job.job_id, job.attempt)
        if attempt is None or attempt.status is not AttemptStatus.RUNNING:
            return False
        writes = [
            self._put_action(catalog_items.version_item(version), NEW),
            self._job_move(job, succeeded),
            self._attempt_end(_ended(attempt, succeeded)),
        ]
        if after is not None:
            unchanged: dict[str, Any] = {"condition": NEW}
            if before is not None:
                # The condition compares with what was read, so that no concurrent change is lost.
                seen = {":seen": before.updated_at, ":current": before.current_version}
                unchanged = {"condition": "updated_at = :seen AND current_version = :current", "values": seen}
            writes.append(self._put_action(catalog_items.model_item(after), **unchanged))
            if before is None:
                writes.append({"Put": {"TableName": self._table_name, "Item": catalog_id_key("MODEL", after.model_id)}})
        return self._write_all(writes)

    # ---- DynamoDB requests -------------------------------------------------------------------

    def _put_action(
        self, item: dict[str, Any], condition: str, values: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        named = {"ExpressionAttributeValues": values} if values else {}
        return {"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": condition, **named}}

    def _job_item(self, record: JobRecord) -> dict[str, Any]:
        return records.job_item(record, self._expires_at(record.created_at, record.started_at, record.ended_at))

    def _attempt_item(self, record: AttemptRecord) -> dict[str, Any]:
        return records.attempt_item(record, self._expires_at(record.started_at, record.ended_at))

    def _job_move(self, job: JobRecord, moved: JobRecord) -> dict[str, Any]:
        """Return the put of a job's new status.

        Its condition: the change is allowed, and the job has not changed since it was read.
        """
        allowed = set(ALLOWED_BEFORE[moved.status])
        if moved.status is JobStatus.WAITING and moved.attempt > job.attempt:
            allowed.add(JobStatus.WAITING)  # The attempt could not be opened: wait for the next.
        values = {f":from{index}": status.value for index, status in enumerate(sorted(allowed))}
        return {
            "Put": {
                "TableName": self._table_name,
                "Item": self._job_item(moved),
                "ConditionExpression": f"#status = :read AND #status IN ({', '.join(values)}) AND #attempt = :attempt",
                "ExpressionAttributeNames": {"#status": "status", "#attempt": "attempt"},
                "ExpressionAttributeValues": {":read": job.status.value, ":attempt": job.attempt, **values},
            }
        }

    def _new_attempt(self, attempt: AttemptRecord) -> dict[str, Any]:
        return self._put_action(self._attempt_item(attempt), NEW)

    def _attempt_end(self, ended: AttemptRecord) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table_name,
                "Item": self._attempt_item(ended),
                "ConditionExpression": "#status = :running",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {":running": AttemptStatus.RUNNING.value},
            }
        }

    def _refusal(self, job: JobRecord, attempt: int) -> Exception:
        current = self.job(job.execution_id, job.job_id)
        if current.status in FINAL_JOB_STATUSES:
            return JobClosedError(job.execution_id, job.job_id, current.status)
        return StaleEventError(job.job_id, attempt, current.status, current.attempt)

    def _query_execution(
        self, cls: type[R], execution_id: str, sort_prefix: str, page_items: int | None = None
    ) -> Iterator[R]:
        """Yield the records below a prefix, page by page: of `page_items`, else of as many as DynamoDB returns."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            KeyConditionExpression=f"{records.PARTITION_KEY} = :execution AND begins_with({records.SORT_KEY}, :prefix)",
            ExpressionAttributeValues={
                ":execution": records.execution_key(execution_id)[records.PARTITION_KEY],
                ":prefix": sort_prefix,
            },
            ConsistentRead=True,
            PaginationConfig={"PageSize": page_items},
        )
        for page in pages:
            yield from (records.read_item(cls, item) for item in page["Items"])


def _ended(
    attempt: AttemptRecord, job: JobRecord, ended_at: str = "", explanation: Explanation = UNEXPLAINED
) -> AttemptRecord:
    """Return the attempt with the end that matches its job's new record."""
    succeeded = job.status is JobStatus.SUCCEEDED
    return replace(
        attempt,
        status=AttemptStatus.SUCCEEDED if succeeded else AttemptStatus.FAILED,
        # Another function's clock may have given the start.
        ended_at=max(ended_at or job.ended_at, attempt.started_at),
        failure_kind=job.failure_kind,
        reason=job.reason,
        **vars(explanation),
    )


def _never_opened(job: JobRecord, at: str) -> AttemptRecord:
    return AttemptRecord(
        execution_id=job.execution_id,
        job_id=job.job_id,
        attempt=job.attempt,
        status=AttemptStatus.RUNNING,
        sagemaker_job_name="",
        object_count=0,
        instance_type=job.compute.instance_type or "",
        instance_count=job.compute.instance_count or 0,
        started_at=at,
    )
