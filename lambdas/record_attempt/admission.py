"""Ask for the instances of an attempt before it is opened."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contract.pool.pool_records import Lease, pool_kind
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.workflow.messages import AttemptInput
from lambdas.admission.admit import Answer, admit, step_clock, take_start_slot
from lambdas.admission.names import attempt_name
from lambdas.stage.deployment import Deployment
from lambdas.stage.tables.pool_table import ExpectedPool, StartSlot


class Admission:
    """Asks for the instances of one attempt, and for a moment to start it."""

    def __init__(
        self,
        event: AttemptInput,
        execution: ExecutionRecord,
        deployment: Deployment,
        expected: ExpectedPool | None = None,
    ) -> None:
        self._event = event
        self._expected = expected
        self._slot: StartSlot | None = None
        self._execution = execution
        self._deployment = deployment
        self._clock = step_clock(event.entered_at, deployment)
        self._name = attempt_name(event, execution, deployment)

    def of(self, job: JobRecord, instance_type: str, instances: int) -> int:
        """Return 0 if the attempt has its instances, else the seconds until it should ask again.

        Raises:
            QuotaTooSmallError, CapacityWaitEndedError: see `admit`.
        """
        return self._ask(job, instance_type, instances).wait_seconds

    def open(self, job: JobRecord, attempt: AttemptRecord) -> tuple[int, AttemptRecord]:
        """Open the attempt once it has its instances: return the seconds until it should ask again, and its record.

        Raises:
            QuotaTooSmallError, CapacityWaitEndedError: see `admit`.
            JobClosedError, StaleEventError: see `JobTable.open_attempt`.
        """
        table, waited = self._deployment.table, self._waited(job)
        if not attempt.sagemaker_job_name:
            # All objects were committed, perhaps while the job waited.
            self._deployment.pools.release(self._name, (pool_kind(job.kind, job.compute), attempt.instance_type))
            return 0, table.open_attempt(waited, attempt)
        opening = table.opening(waited, attempt)
        answer = self._ask(job, attempt.instance_type, attempt.instance_count, opening)
        self._slot = answer.slot
        if answer.wait_seconds or answer.is_opened:
            return answer.wait_seconds, attempt
        return 0, table.open_attempt(waited, attempt)

    def _ask(
        self, job: JobRecord, instance_type: str, instances: int, opening: Sequence[dict[str, Any]] = ()
    ) -> Answer:
        lease = Lease(
            sagemaker_job_name=self._name,
            kind=pool_kind(job.kind, job.compute),
            instance_type=instance_type,
            instances=instances,
            execution_id=job.execution_id,
            job_id=job.job_id,
            attempt=self._event.attempt,
            acquired_at=self._deployment.now(),
            child_arn=self._event.child_arn,
        )
        may_wait = bool(self._event.entered_at)
        return admit(
            lease,
            job,
            self._execution,
            self._clock,
            self._deployment,
            may_wait=may_wait,
            opening=opening,
            expected=self._expected,
        )

    def _waited(self, job: JobRecord) -> JobRecord:
        """Return the job with the time that it has waited until now."""
        return replace(job, waited_seconds=job.waited_seconds + self._clock.seconds_since(job.waiting_since))

    def start_slot(self, job: JobRecord) -> int:
        """Return in how many seconds the attempt's job may be created."""
        if self._slot is not None:
            return self._slot.wait_ms // 1_000
        return take_start_slot(pool_kind(job.kind, job.compute), self._clock, self._deployment)
