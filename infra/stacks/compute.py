"""What jobs run on: the images and the roles of the jobs."""

from dataclasses import dataclass

from aws_cdk import CfnOutput, Environment, Fn, Stack
from constructs import Construct

from infra.compute.images import output_name, scoring_images
from infra.compute.job_roles import scoring_role, training_role
from infra.settings import Settings
from infra.stacks.storage import Storage, export_name

JOB_ROLE_ARN = "JobRoleArn"
TRAINING_ROLE_ARN = "TrainingRoleArn"


@dataclass(frozen=True)
class JobPlatform:
    """The compute stack's outputs as the workflows name them."""

    job_role_arn: str
    training_role_arn: str

    @classmethod
    def of(cls, stage: str) -> "JobPlatform":
        return cls(
            job_role_arn=Fn.import_value(export_name(stage, JOB_ROLE_ARN)),
            training_role_arn=Fn.import_value(export_name(stage, TRAINING_ROLE_ARN)),
        )


class ComputeStack(Stack):
    """The images, built from the repository or named by settings, and the roles that the jobs assume."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
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
        for variant, image in images.items():
            # To look at; no export, see scoring_images.
            CfnOutput(self, output_name(variant), value=image.uri, description=f"The image {variant!r} of the jobs")
        outputs = {
            JOB_ROLE_ARN: (self.job_role.role_arn, "The role that processing jobs assume"),
            TRAINING_ROLE_ARN: (self.training_role.role_arn, "The role that training jobs assume"),
        }
        for name, (value, description) in outputs.items():
            exported = export_name(settings.stage, name)
            CfnOutput(self, name, value=value, description=description, export_name=exported)
