"""What the requests of all SageMaker jobs have in common: network, IAM conditions, variables, tags, retries."""

from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn

from contract.catalog.instance_types import LOCAL_STORAGE
from contract.job.job_tags import EXECUTION_TAG, JOB_TAG, STAGE_TAG
from contract.workflow.messages import JobPointer, path_of
from infra.definitions.error_names import Retry, Service, names_of
from infra.definitions.shared_states import PLAN
from infra.sagemaker_tasks import JobNetwork, SageMakerProcessingJob, SageMakerTrainingJob
from infra.settings import AppSettings
from infra.stack_outputs import Storage


def job_network(settings: AppSettings) -> JobNetwork:
    """Return an isolated network; SageMaker copies data through the stage's VPC if it has one."""
    return JobNetwork(
        isolation=True,
        subnet_ids=settings.vpc.subnet_ids if settings.vpc else (),
        security_group_ids=settings.vpc.security_group_ids if settings.vpc else (),
    )


def creation_conditions(settings: AppSettings, storage: Storage) -> list[dict[str, Any]]:
    """Return the IAM conditions on which the workflow may create jobs, one set per statement.

    A job is isolated from the network, uses the stage's VPC if there is one, and encrypts its
    output with the stage's key. Its volumes use the key too, except on types that encrypt local
    disks themselves. Its type is one that the stage allows.
    """
    lists = {"sagemaker:InstanceTypes": list(settings.instance_types)}
    if settings.vpc:
        lists["sagemaker:VpcSubnets"] = list(settings.vpc.subnet_ids)
        lists["sagemaker:VpcSecurityGroupIds"] = list(settings.vpc.security_group_ids)
    job = {
        "Bool": {"sagemaker:NetworkIsolation": "true"},
        # "For all values" is also true without any value, so each key must be present.
        "ForAllValues:StringLike": lists,
        "Null": dict.fromkeys(lists, "false"),
    }
    output = {"sagemaker:OutputKmsKey": storage.key_arn}
    return [
        {**job, "ArnEquals": {**output, "sagemaker:VolumeKmsKey": storage.key_arn}},
        {
            **job,
            "ArnEquals": output,
            "ForAnyValue:StringLike": {"sagemaker:InstanceTypes": list(LOCAL_STORAGE)},
        },
    ]


def job_variables(plan: type, *names: str) -> dict[str, str]:
    """Return the environment of a job's containers: the JSONPath of each variable in the attempt's plan."""
    return {name: f"{path_of(plan, 'environment', at=PLAN)}.{name}" for name in names}


def job_tags(stage: str) -> dict[str, str]:
    return {
        STAGE_TAG: stage,
        EXECUTION_TAG: path_of(JobPointer, "execution_id"),
        JOB_TAG: path_of(JobPointer, "job_id"),
    }


def retry_creation(job: SageMakerProcessingJob | SageMakerTrainingJob) -> None:
    """Retry the creation of a job. A job that ran and failed needs a new name, not a Retry.

    For a quota that is used up, ClassifyFailure lets the job wait, and its record says so.
    """
    job.add_retry(
        errors=names_of(Service.SAGEMAKER, Retry.UNAVAILABLE),
        interval=Duration.seconds(2),
        backoff_rate=2,
        max_attempts=10,
        max_delay=Duration.minutes(1),
        jitter_strategy=sfn.JitterType.FULL,
    )
