"""The scoring images of a stage, a variant each: built from the repository, or named by a setting."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_ecr_assets as ecr_assets

from contract.catalog.image_variants import CORE, ImageVariant
from infra.assets import container_image
from infra.settings import Settings


@dataclass(frozen=True)
class ScoringImage:
    """One variant as a stack names it."""

    uri: str
    repository_arn: str


def scoring_images(stack: Stack, settings: Settings) -> dict[ImageVariant, ScoringImage]:
    """The images that the settings ask for.

    Each stack that names them declares them, and they are built and pushed once. They are not handed from stack to
    stack by exports, whose values CloudFormation does not change while another stack imports them: with the first
    change of the code inside an image nothing could be deployed any more.
    """
    return {variant: _image(stack, settings, variant) for variant in settings.image_variants}


def output_name(variant: ImageVariant) -> str:
    """The stack output that shows a variant's URI."""
    return "ImageUri" if variant == CORE else f"ImageUri{variant.title()}"


def _image(stack: Stack, settings: Settings, variant: ImageVariant) -> ScoringImage:
    uri, repository_arn = settings.named_image(variant), settings.image_repository_arn(variant)
    if uri is not None and repository_arn is not None:
        return ScoringImage(uri, repository_arn)
    name = "Image" if variant == CORE else f"Image{variant.title()}"
    found = stack.node.try_find_child(name)
    if not isinstance(found, ecr_assets.DockerImageAsset):
        found = container_image(stack, name, variant=variant, accelerator=settings.image_accelerator)
    return ScoringImage(found.image_uri, found.repository.repository_arn)
