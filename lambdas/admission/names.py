"""The name of an attempt's SageMaker job, which is also that of its lease."""

from contract import layout
from contract.table.records import ExecutionRecord
from contract.workflow.messages import JobPointer
from lambdas.stage.deployment import Deployment


def attempt_name(pointer: JobPointer, execution: ExecutionRecord, deployment: Deployment) -> str:
    """Return the name, which follows from the attempt: every call for it has the same."""
    return layout.sagemaker_job_name(
        deployment.settings.stage, execution.execution_arn, execution.started_at, pointer.job_id, pointer.attempt
    )
