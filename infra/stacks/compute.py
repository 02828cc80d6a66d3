"""The compute stack: container images and roles of SageMaker jobs."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from infra.compute.images import output_name, scoring_images
from infra.compute.job_roles import scoring_role, spot_role, training_role
from infra.settings import AppSettings
from infra.stack_outputs import JOB_ROLE_ARN, SPOT_ROLE_ARN, TRAINING_ROLE_ARN, Storage, export_name


class ComputeStack(Stack):
    """The container images, built or named by settings, and the roles that jobs assume."""

    def __init__(self, scope: Construct, id: str, *, settings: AppSettings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: image and job roles",
        )
        images = scoring_images(self, settings)
        repository_arns = list(dict.fromkeys(image.repository_arn for image in images.values()))
        storage, in_vpc = Storage.of(settings.stage), settings.vpc is not None
        self.job_role = scoring_role(self, storage, repository_arns, in_vpc=in_vpc)
        self.training_role = training_role(self, storage, repository_arns, in_vpc=in_vpc)
        self.spot_role = spot_role(self, storage, repository_arns, in_vpc=in_vpc)
        for variant, image in images.items():
            # For people to read. See `scoring_images` for why it is not exported.
            CfnOutput(self, output_name(variant), value=image.uri, description=f"Container image {variant!r}")
        outputs = {
            JOB_ROLE_ARN: (self.job_role.role_arn, "Role of processing jobs"),
            TRAINING_ROLE_ARN: (self.training_role.role_arn, "Role of training jobs"),
            SPOT_ROLE_ARN: (self.spot_role.role_arn, "Role of training jobs that score on spot capacity"),
        }
        for name, (value, description) in outputs.items():
            exported = export_name(settings.stage, name)
            CfnOutput(self, name, value=value, description=description, export_name=exported)
