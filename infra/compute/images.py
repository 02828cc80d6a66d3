"""The container images of a stage, one per variant: built, or named by a setting."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_ecr_assets as ecr_assets

from contract.catalog.image_variants import CORE, ImageVariant
from infra.assets import container_image
from infra.settings import AppSettings


@dataclass(frozen=True)
class ScoringImage:
    """URI and repository of a variant's image, as literals or CloudFormation references."""

    uri: str
    repository_arn: str


def scoring_images(stack: Stack, settings: AppSettings) -> dict[ImageVariant, ScoringImage]:
    """Return the images that the settings name, by variant.

    Each stack that needs the images declares them; they are still built and pushed only once. The
    stacks do not share them by exports: CloudFormation refuses to change an exported value while
    another stack imports it, so the first code change inside an image would block every deployment.
    """
    return {variant: _image(stack, settings, variant) for variant in settings.image_variants}


def output_name(variant: ImageVariant) -> str:
    """Return the name of the stack output that shows a variant's URI."""
    return "ImageUri" if variant == CORE else f"ImageUri{variant.title()}"


def _image(stack: Stack, settings: AppSettings, variant: ImageVariant) -> ScoringImage:
    uri, repository_arn = settings.named_image(variant), settings.image_repository_arn(variant)
    if uri is not None and repository_arn is not None:
        return ScoringImage(uri, repository_arn)
    name = "Image" if variant == CORE else f"Image{variant.title()}"
    found = stack.node.try_find_child(name)
    if not isinstance(found, ecr_assets.DockerImageAsset):
        found = container_image(
            stack, name, variant=variant, accelerator=settings.image_accelerator, base_image=settings.base_image
        )
    return ScoringImage(found.image_uri, found.repository.repository_arn)
