"""The roles that SageMaker jobs assume: for scoring, for scoring on spot capacity, and for training."""

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract import layout, spot_layout, training_layout
from contract.log_groups import LOG_GROUPS
from contract.status import SageMakerKind
from infra.permissions import allow, allow_listing, allow_listing_below, via
from infra.stack_outputs import Storage

SCORING_LOG_GROUP = LOG_GROUPS[SageMakerKind.PROCESSING]
TRAINING_LOG_GROUP = LOG_GROUPS[SageMakerKind.TRAINING]
"""Log groups that SageMaker chooses; all jobs of the kind in an account and Region share one."""


OUTPUT_PATTERNS = tuple(
    f"{layout.job_outputs_prefix(kind, '*', '*', '*', output_layout)}*" for kind, output_layout in layout.OUTPUT_AREAS
)
"""Keys of the predictions and quarantines of jobs. Each job gets its own prefix as destination."""


def log_streams(log_group: str) -> str:
    return f"{_log_group_arn(log_group)}:log-stream:*"


def scoring_role(scope: Construct, storage: Storage, repository_arns: Sequence[str], *, in_vpc: bool) -> iam.Role:
    """Create the role of processing jobs.

    It reads datasets, models, and each job's spec, snapshot and manifests, and writes only the
    outputs of jobs.
    """
    results = storage.results_bucket
    statements = [
        *_allow_scoring_inputs(storage, layout.EXECUTIONS_PREFIX),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            *(storage.objects_arn(results, pattern) for pattern in OUTPUT_PATTERNS),
            storage.objects_arn(results, f"{layout.ledger_prefix('*', '*')}*"),
        ),
        *_common_permissions(storage, repository_arns, SCORING_LOG_GROUP, in_vpc=in_vpc),
    ]
    description = "Reads datasets, models and a job's spec, snapshot and manifests; writes the job's outputs"
    return _role(scope, "JobRole", description, statements)


def spot_role(scope: Construct, storage: Storage, repository_arns: Sequence[str], *, in_vpc: bool) -> iam.Role:
    """Create the role of training jobs that score on spot capacity.

    It reads what processing jobs read, and reads and writes the checkpoints of jobs. A function copies
    what they have committed to the outputs of the job.
    """
    checkpoints = storage.objects_arn(storage.results_bucket, f"{spot_layout.spot_checkpoints_prefix('*', '*', '*')}*")
    statements = [
        *_allow_scoring_inputs(storage, layout.EXECUTIONS_PREFIX, spot_layout.SPOT_PREFIX),
        # SageMaker restores them after an interruption.
        allow(["s3:GetObject"], checkpoints),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            checkpoints,
            # The empty archive that SageMaker makes of every training job's model.
            storage.objects_arn(storage.results_bucket, f"{spot_layout.spot_output_prefix('*', '*', '*')}*"),
        ),
        *_common_permissions(storage, repository_arns, TRAINING_LOG_GROUP, in_vpc=in_vpc),
    ]
    description = "Reads datasets, models and a job's spec, snapshot and manifests; reads and writes its checkpoints"
    return _role(scope, "SpotRole", description, statements)


def _allow_scoring_inputs(storage: Storage, *listed_prefixes: str) -> list[iam.PolicyStatement]:
    """Allow what every scoring job reads: datasets, models, and its own spec, snapshot and manifests."""
    results, job_folder = storage.results_bucket, layout.job_prefix("*", "*")
    return [
        # SageMaker lists what a prefix or manifest names before it copies the objects.
        allow_listing(storage.datasets_bucket, storage.models_bucket),
        allow_listing_below(results, *listed_prefixes),
        allow(
            ["s3:GetObject"],
            storage.objects_arn(storage.datasets_bucket, "*"),
            storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
            storage.objects_arn(results, f"{job_folder}job.json"),
            storage.objects_arn(results, f"{job_folder}*.manifest"),
            storage.objects_arn(results, layout.snapshot_key("*", "*")),
            storage.objects_arn(results, layout.snapshot_manifest_key("*", "*")),
        ),
    ]


def training_role(scope: Construct, storage: Storage, repository_arns: Sequence[str], *, in_vpc: bool) -> iam.Role:
    """Create the role of training jobs.

    It reads datasets, and each job's spec, manifests and script, and writes the artifact and
    checkpoints of jobs. It cannot write to the models bucket: an artifact becomes a version only
    after RegisterModelVersion has checked it.
    """
    results = storage.results_bucket
    checkpoints = storage.objects_arn(results, f"{training_layout.checkpoints_prefix('*', '*')}*")
    statements = [
        allow_listing(storage.datasets_bucket),
        allow_listing_below(results, layout.EXECUTIONS_PREFIX),
        allow(
            ["s3:GetObject"],
            storage.objects_arn(storage.datasets_bucket, "*"),
            storage.objects_arn(results, training_layout.training_job_spec_key("*", "*")),
            storage.objects_arn(results, f"{layout.job_prefix('*', '*')}*.manifest"),
            storage.objects_arn(results, training_layout.job_code_key("*", "*")),
            checkpoints,
        ),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            storage.objects_arn(results, f"{training_layout.training_output_prefix('*', '*')}*"),
            checkpoints,
        ),
        *_common_permissions(storage, repository_arns, TRAINING_LOG_GROUP, in_vpc=in_vpc),
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


def _common_permissions(
    storage: Storage, repository_arns: Sequence[str], log_group: str, *, in_vpc: bool
) -> list[iam.PolicyStatement]:
    """Return the permissions that every job needs, with network interfaces if it runs in a VPC."""
    statements = [
        allow(
            ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
            storage.key_arn,
            conditions=via("s3", "sagemaker"),
        ),
        # With a grant on the role's behalf, EC2 encrypts the volumes of the job's instances.
        allow(
            ["kms:CreateGrant"],
            storage.key_arn,
            conditions={**via("sagemaker", "ec2"), "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
        allow(["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], *repository_arns),
        # AWS defines no resources for the next two actions.
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(["cloudwatch:PutMetricData"], "*", conditions={"StringEquals": {"cloudwatch:namespace": log_group}}),
        allow(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            _log_group_arn(log_group),
            log_streams(log_group),
        ),
    ]
    return [*statements, _network_interfaces()] if in_vpc else statements


def _log_group_arn(log_group: str) -> str:
    return f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{log_group}"


def _network_interfaces() -> iam.PolicyStatement:
    """Return the permissions of a job in a VPC. EC2's Describe actions accept no resource."""
    return allow(
        [
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
        "*",
    )
