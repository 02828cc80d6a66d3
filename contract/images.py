"""Variants of the scoring image: heavy frameworks lie in images of their own, so that the core image stays small."""

from typing import Literal, get_args

from contract.spec import Framework

ImageVariant = Literal["core", "tensorflow", "pytorch", "catboost"]
CORE: ImageVariant = "core"
IMAGE_VARIANTS: tuple[ImageVariant, ...] = get_args(ImageVariant)

IMAGE_OF_FRAMEWORK: dict[Framework, ImageVariant] = {
    "tensorflow": "tensorflow",
    "pytorch": "pytorch",
    "catboost": "catboost",
}
"""Frameworks that are not in the core image. What is not named here is in every variant, as each has all of core."""


def image_of(framework: Framework) -> ImageVariant:
    """The variant that serves a framework."""
    return IMAGE_OF_FRAMEWORK.get(framework, CORE)
