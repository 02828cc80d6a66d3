"""Ask for the instances of an attempt before it is opened."""

from dataclasses import replace

from contract.pool.pool_records import Lease, pool_kind
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.messages import AttemptInput
from lambdas.admission.admit import admit, step_clock, take_start_slot
from lambdas.admission.names import attempt_name
from lambdas.stage.deployment import Deployment


class Admission:
    """Asks for the instances of one attempt, and for a moment to start it."""

    def __init__(self, event: AttemptInput, execution: ExecutionRecord, deployment: Deployment) -> None:
        self._event = event
        self._execution = execution
        self._deployment = deployment
        self._clock = step_clock(event.entered_at, deployment)
        self._name = attempt_name(event, execution, deployment)

    def of(self, job: JobRecord, instance_type: str, instances: int = 0) -> int:
        """Return 0 if the attempt has its instances, else the seconds until it should ask again.

        Without `instances`, the attempt asks for those that its job has asked for before.

        Raises:
            QuotaTooSmallError, CapacityWaitEndedError: see `admit`.
        """
        lease = Lease(
            sagemaker_job_name=self._name,
            kind=pool_kind(job.kind, job.compute),
            instance_type=instance_type,
            instances=instances or job.waiting_instances,
            execution_id=job.execution_id,
            job_id=job.job_id,
            attempt=self._event.attempt,
            acquired_at=self._deployment.now(),
            child_arn=self._event.child_arn,
        )
        may_wait = bool(self._event.entered_at)
        return admit(lease, job, self._execution, self._clock, self._deployment, may_wait=may_wait)

    def give_back(self) -> None:
        """Release the instances of an attempt that needs none after all."""
        self._deployment.pools.release(self._name)

    def waited(self, job: JobRecord) -> JobRecord:
        """Return the job with the time that it has waited until now."""
        return replace(job, waited_seconds=job.waited_seconds + self._clock.seconds_since(job.waiting_since))

    def start_slot(self, job: JobRecord) -> int:
        """Return in how many seconds the attempt's job may be created."""
        return take_start_slot(pool_kind(job.kind, job.compute), self._clock, self._deployment)
