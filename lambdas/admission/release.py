"""Release the instances of an attempt that has ended."""

from botocore.exceptions import ClientError

from lambdas.errors import PoolContendedError
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger
from lambdas.stage.tables.pool_table import PoolName


def release_instances(sagemaker_job_name: str, deployment: Deployment, pool: PoolName | None = None) -> bool:
    """Release the lease of an attempt's job, if it has one, and return whether it has none now.

    To name its pool saves a request.

    Best effort. If this call fails, the event about the job's end or the schedule of Reconcile releases it.
    """
    if not sagemaker_job_name:
        return True
    try:
        deployment.pools.release(sagemaker_job_name, pool)
    except (ClientError, PoolContendedError) as error:
        logger.warning("the lease is released later", sagemaker_job_name=sagemaker_job_name, why=str(error))
        return False
    return True
