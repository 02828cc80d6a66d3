"""Release leases of instances whose jobs have ended, when nobody else has done it."""

from collections.abc import Collection, Iterable

from botocore.exceptions import ClientError

from contract.pool.pool_records import JobKind, Lease
from contract.status import SageMakerKind
from lambdas.errors import JobNotFoundError, PoolContendedError
from lambdas.reconcile.decisions import ENDED_STATUSES, RUNNING_STATUSES, has_lease_ended
from lambdas.stage.deployment import Deployment
from lambdas.stage.messaging.execution_reader import ExecutionReader
from lambdas.stage.observability import logger
from lambdas.stage.sagemaker_jobs import SageMakerJobs


class Leases:
    """Compares leases with SageMaker's jobs and the table's records."""

    def __init__(self, deployment: Deployment, jobs: SageMakerJobs, executions: ExecutionReader) -> None:
        self._deployment = deployment
        self._jobs = jobs
        self._executions = executions

    def release_ended(self, running: Collection[str] = ()) -> int:
        """Release every lease that has ended, and return their number. `running` are jobs that run for certain."""
        return self._release(
            lease for lease in self._deployment.pools.leases() if lease.sagemaker_job_name not in running
        )

    def release_of(self, execution_id: str) -> int:
        """Release what an execution that has ended holds and awaits, except of jobs that have not ended."""
        self._deployment.pools.leave(execution_id)
        return self._release(lease for lease in self._deployment.pools.leases() if lease.execution_id == execution_id)

    def _release(self, leases: Iterable[Lease]) -> int:
        released = 0
        for lease in leases:
            try:
                if self._has_ended(lease):
                    released += self._deployment.pools.release(lease.sagemaker_job_name)
            except (ClientError, PoolContendedError) as error:
                # The next call of the schedule looks again.
                logger.warning("a lease is left", sagemaker_job_name=lease.sagemaker_job_name, why=str(error))
        return released

    def _has_ended(self, lease: Lease) -> bool:
        kind = SageMakerKind.PROCESSING if lease.kind is JobKind.PROCESSING else SageMakerKind.TRAINING
        # Before the records: a job of an attempt that is over afterwards cannot be created any more.
        status = self._jobs.status(kind, lease.sagemaker_job_name)
        table = self._deployment.table
        try:
            job = table.job(lease.execution_id, lease.job_id)
        except JobNotFoundError:
            job = None
        if has_lease_ended(lease, status, table.find_execution(lease.execution_id), job):
            return True
        if status or not self._has_child_ended(lease):
            return False
        # The child may have created the job in between.
        return self._jobs.status(kind, lease.sagemaker_job_name) in ("", *ENDED_STATUSES)

    def _has_child_ended(self, lease: Lease) -> bool:
        """Return whether the child execution of a lease has ended for certain.

        It may leave no trace in the records, when no failure of the job could be recorded.
        """
        if not lease.child_arn:
            return False
        # A new child may not be visible yet.
        status = self._executions.read(lease.child_arn).status
        return bool(status) and status not in RUNNING_STATUSES
