"""Variants of the scoring image: heavy frameworks lie in images of their own, so that the core
image stays small."""

from typing import Literal, get_args

from contract.catalog.model_formats import Accelerator, Framework

ImageVariant = Literal["core", "trees", "tensorflow", "pytorch"]
CORE: ImageVariant = "core"
IMAGE_VARIANTS: tuple[ImageVariant, ...] = get_args(ImageVariant)

IMAGE_OF_FRAMEWORK: dict[Framework, ImageVariant] = {
    "tensorflow": "tensorflow",
    "pytorch": "pytorch",
    "catboost": "trees",
}
"""Frameworks that are not in the core image. What is not named here is in every variant, as each
has all of core."""

IMAGE_OF_ACCELERATOR: dict[Accelerator, ImageVariant] = {"daal4py": "trees"}


def image_of(framework: Framework, accelerator: Accelerator = "") -> ImageVariant:
    """The variant that serves a framework, with the accelerator that a model's record asks for."""
    return IMAGE_OF_ACCELERATOR.get(accelerator) or IMAGE_OF_FRAMEWORK.get(framework, CORE)
