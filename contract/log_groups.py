"""The CloudWatch log groups of jobs, whose names SageMaker chooses."""

from contract.status import SageMakerKind

LOG_GROUPS = {
    SageMakerKind.PROCESSING: "/aws/sagemaker/ProcessingJobs",
    SageMakerKind.TRAINING: "/aws/sagemaker/TrainingJobs",
}


def stream_prefix(sagemaker_job_name: str) -> str:
    """Return the beginning of the names of a job's log streams, one per instance.

    >>> stream_prefix("dev-churn-c110064683774e22-1")
    'dev-churn-c110064683774e22-1/'
    """
    return f"{sagemaker_job_name}/"
