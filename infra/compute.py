"""What jobs run on: the image and the roles of the jobs."""

from dataclasses import dataclass

from aws_cdk import CfnOutput, Environment, Fn, Stack
from constructs import Construct

from infra.assets import container_image
from infra.job_roles import scoring_role, training_role
from infra.settings import Settings
from infra.storage import Storage, export_name

IMAGE_URI = "ImageUri"
JOB_ROLE_ARN = "JobRoleArn"
TRAINING_ROLE_ARN = "TrainingRoleArn"


@dataclass(frozen=True)
class JobPlatform:
    """The compute stack's outputs as the workflows name them."""

    image_uri: str
    job_role_arn: str
    training_role_arn: str

    @classmethod
    def of(cls, stage: str) -> "JobPlatform":
        return cls(
            image_uri=Fn.import_value(export_name(stage, IMAGE_URI)),
            job_role_arn=Fn.import_value(export_name(stage, JOB_ROLE_ARN)),
            training_role_arn=Fn.import_value(export_name(stage, TRAINING_ROLE_ARN)),
        )


class ComputeStack(Stack):
    """The image, built from the repository or named by a setting, and the roles that the jobs assume."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: image and job roles",
        )
        image_uri, repository_arn = self._image(settings)
        storage, in_vpc = Storage.of(settings.stage), settings.vpc is not None
        self.job_role = scoring_role(self, storage, repository_arn, in_vpc=in_vpc)
        self.training_role = training_role(self, storage, repository_arn, in_vpc=in_vpc)
        outputs = {
            IMAGE_URI: (image_uri, "The image of scoring and training"),
            JOB_ROLE_ARN: (self.job_role.role_arn, "The role that processing jobs assume"),
            TRAINING_ROLE_ARN: (self.training_role.role_arn, "The role that training jobs assume"),
        }
        for name, (value, description) in outputs.items():
            exported = export_name(settings.stage, name)
            CfnOutput(self, name, value=value, description=description, export_name=exported)

    def _image(self, settings: Settings) -> tuple[str, str]:
        if settings.image_uri is not None and settings.image_repository_arn is not None:
            return settings.image_uri, settings.image_repository_arn
        image = container_image(self, "Image")
        return image.image_uri, image.repository.repository_arn
