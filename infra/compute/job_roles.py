"""What the jobs themselves may do, one role a kind of job."""

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract import layout
from infra.stacks.storage import Storage

SCORING_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
"""SageMaker's own choices, each shared by all jobs of the kind in an account and Region."""


def log_streams(log_group: str) -> str:
    return f"{_log_group_arn(log_group)}:log-stream:*"


def scoring_role(scope: Construct, storage: Storage, repository_arns: Sequence[str], *, in_vpc: bool) -> iam.Role:
    """Reads datasets, models and a job's spec and manifests; writes what the job makes."""
    results = storage.results_bucket
    job_folder = layout.job_prefix("*", "*")
    statements = [
        # SageMaker lists what a prefix or manifest names before it copies.
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[storage.bucket_arn(storage.datasets_bucket), storage.bucket_arn(storage.models_bucket)],
        ),
        _list_executions(storage),
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[
                storage.objects_arn(storage.datasets_bucket, "*"),
                storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
                storage.objects_arn(results, f"{job_folder}job.json"),
                storage.objects_arn(results, f"{job_folder}*.manifest"),
            ],
        ),
        iam.PolicyStatement(
            actions=["s3:PutObject", "s3:AbortMultipartUpload"],
            resources=[
                storage.objects_arn(results, f"{layout.PREDICTIONS_PREFIX}*"),
                storage.objects_arn(results, f"{layout.QUARANTINE_PREFIX}*"),
                storage.objects_arn(results, f"{layout.ledger_prefix('*', '*')}*"),
            ],
        ),
        *_of_every_job(storage, repository_arns, SCORING_LOG_GROUP, in_vpc=in_vpc),
    ]
    description = "Reads datasets, models and a job's spec and manifests; writes what the job makes"
    return _role(scope, "JobRole", description, statements)


def training_role(scope: Construct, storage: Storage, repository_arns: Sequence[str], *, in_vpc: bool) -> iam.Role:
    """Reads datasets and a job's spec, manifests and script; writes the artifact and checkpoints of jobs.

    It reaches no model: what a job made becomes one only when RegisterModelVersion has checked it.
    """
    results = storage.results_bucket
    checkpoints = storage.objects_arn(results, f"{layout.checkpoints_prefix('*', '*')}*")
    statements = [
        iam.PolicyStatement(actions=["s3:ListBucket"], resources=[storage.bucket_arn(storage.datasets_bucket)]),
        _list_executions(storage),
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[
                storage.objects_arn(storage.datasets_bucket, "*"),
                storage.objects_arn(results, layout.training_job_spec_key("*", "*")),
                storage.objects_arn(results, f"{layout.job_prefix('*', '*')}*.manifest"),
                storage.objects_arn(results, layout.job_code_key("*", "*")),
                checkpoints,
            ],
        ),
        iam.PolicyStatement(
            actions=["s3:PutObject", "s3:AbortMultipartUpload"],
            resources=[storage.objects_arn(results, f"{layout.training_output_prefix('*', '*')}*"), checkpoints],
        ),
        *_of_every_job(storage, repository_arns, TRAINING_LOG_GROUP, in_vpc=in_vpc),
    ]
    description = "Reads datasets and a training job's spec, manifests and script; writes artifact and checkpoints"
    return _role(scope, "TrainingRole", description, statements)


def _role(scope: Construct, id: str, description: str, statements: Sequence[iam.PolicyStatement]) -> iam.Role:  # noqa: A002
    role = iam.Role(
        scope,
        id,
        assumed_by=iam.ServicePrincipal(
            "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        ),
        description=description,
    )
    for statement in statements:
        role.add_to_policy(statement)
    return role


def _list_executions(storage: Storage) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=["s3:ListBucket"],
        resources=[storage.bucket_arn(storage.results_bucket)],
        conditions={"StringLike": {"s3:prefix": f"{layout.EXECUTIONS_PREFIX}*"}},
    )


def _of_every_job(
    storage: Storage, repository_arns: Sequence[str], log_group: str, *, in_vpc: bool
) -> list[iam.PolicyStatement]:
    """The key, the images, metrics, logs, and with a VPC its network interfaces."""
    statements = [
        iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
            resources=[storage.key_arn],
        ),
        iam.PolicyStatement(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=list(repository_arns),
        ),
        # These two have no resources that could be named.
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": log_group}},
        ),
        iam.PolicyStatement(
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[_log_group_arn(log_group), log_streams(log_group)],
        ),
    ]
    return [*statements, _network_interfaces()] if in_vpc else statements


def _log_group_arn(log_group: str) -> str:
    return f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{log_group}"


def _network_interfaces() -> iam.PolicyStatement:
    """What SageMaker needs to put a job's network interfaces into a VPC; EC2 describes nothing by resource."""
    return iam.PolicyStatement(
        actions=[
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ],
        resources=["*"],
    )
