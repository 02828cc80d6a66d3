"""What still runs of executions that are to be continued."""

from collections.abc import Callable
from dataclasses import dataclass

from contract.status import SageMakerKind
from lambdas.stage.messaging.execution_reader import ExecutionReader
from lambdas.stage.sagemaker_jobs import SageMakerJobs


@dataclass(frozen=True)
class Activity:
    """Looks up executions and jobs. The clients are created at their first use, which is rare."""

    executions: Callable[[], ExecutionReader]
    jobs: Callable[[], SageMakerJobs]

    def execution_runs(self, execution_arn: str) -> bool:
        """Return whether Step Functions runs the execution; False if it has forgotten it."""
        return self.executions().is_running(execution_arn)

    def running_job_status(self, kind: SageMakerKind, name: str) -> str:
        """Return the status of a SageMaker job that has not ended; empty if it has, or does not exist."""
        return self.jobs().running_status(kind, name)
