"""What jobs run on: the scoring images and the role of the jobs."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Aws, CfnOutput, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from contract import layout
from contract.images import CORE, ImageVariant
from infra.images import ScoringImage, output_name, scoring_images
from infra.settings import Settings
from infra.storage import Storage, export_name

JOB_ROLE_ARN = "JobRoleArn"

JOB_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
"""SageMaker's own choice, shared by all processing jobs of an account and Region."""


@dataclass(frozen=True)
class JobPlatform:
    """What jobs run on, as the workflow names it."""

    image_uri: str
    """The core image; which variant a job of scoring runs is the plan's to say."""
    job_role_arn: str

    @classmethod
    def of(cls, stage: str, images: Mapping[ImageVariant, ScoringImage]) -> "JobPlatform":
        """`images` are those that the naming stack declares itself (`scoring_images`)."""
        return cls(
            image_uri=images[CORE].uri,
            job_role_arn=Fn.import_value(export_name(stage, JOB_ROLE_ARN)),
        )


class ComputeStack(Stack):
    """The images, built from the repository or named by settings, and the role that processing jobs assume."""

    job_log_group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{JOB_LOG_GROUP}"
    job_log_streams = f"{job_log_group}:log-stream:*"

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: scoring image and job role",
        )
        images = scoring_images(self, settings)
        repository_arns = list(dict.fromkeys(image.repository_arn for image in images.values()))
        self.job_role = self._job_role(Storage.of(settings.stage), repository_arns, in_vpc=settings.vpc is not None)
        for variant, image in images.items():
            # To look at; no export, see scoring_images.
            CfnOutput(self, output_name(variant), value=image.uri, description=f"The scoring image {variant!r}")
        CfnOutput(
            self,
            JOB_ROLE_ARN,
            value=self.job_role.role_arn,
            description="The role that processing jobs assume",
            export_name=export_name(settings.stage, JOB_ROLE_ARN),
        )

    def _job_role(self, storage: Storage, repository_arns: list[str], *, in_vpc: bool) -> iam.Role:
        role = iam.Role(
            self,
            "JobRole",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description="Reads datasets, models and a job's spec and manifests; writes what the job makes",
        )
        results = storage.results_bucket
        job_folder = layout.job_prefix("*", "*")
        statements = [
            # SageMaker lists what a prefix or manifest names before it copies.
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.bucket_arn(storage.datasets_bucket), storage.bucket_arn(storage.models_bucket)],
            ),
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.bucket_arn(results)],
                conditions={"StringLike": {"s3:prefix": f"{layout.EXECUTIONS_PREFIX}*"}},
            ),
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[
                    storage.objects_arn(storage.datasets_bucket, "*"),
                    storage.objects_arn(storage.models_bucket, "*"),
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
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
                resources=[storage.key_arn],
            ),
            iam.PolicyStatement(
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                resources=repository_arns,
            ),
            # These two have no resources that could be named.
            iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": JOB_LOG_GROUP}},
            ),
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[self.job_log_group, self.job_log_streams],
            ),
        ]
        if in_vpc:
            statements.append(_network_interfaces())
        for statement in statements:
            role.add_to_policy(statement)
        return role


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
