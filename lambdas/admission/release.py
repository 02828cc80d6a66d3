"""Release the instances of an attempt that has ended."""

from botocore.exceptions import ClientError

from lambdas.errors import PoolContendedError
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger


def release_instances(sagemaker_job_name: str, deployment: Deployment) -> None:
    """Release the lease of an attempt's job, if it has one. Best effort.

    The event about the job's end has probably done so already. If this call fails, that event or the
    schedule of Reconcile does.
    """
    if not sagemaker_job_name:
        return
    try:
        deployment.pools.release(sagemaker_job_name)
    except (ClientError, PoolContendedError) as error:
        logger.warning("the lease is released later", sagemaker_job_name=sagemaker_job_name, why=str(error))
