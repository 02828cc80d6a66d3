"""Variants of the scoring image.

Heavy frameworks have separate images, so that the core image stays small.
"""

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
"""Variant per framework that the core image lacks. All other frameworks are in every variant."""

IMAGE_OF_ACCELERATOR: dict[Accelerator, ImageVariant] = {"daal4py": "trees"}


def image_of(framework: Framework, accelerator: Accelerator = "") -> ImageVariant:
    """Return the variant that serves a framework and an accelerator.

    >>> image_of("sklearn"), image_of("xgboost", "daal4py"), image_of("tensorflow")
    ('core', 'trees', 'tensorflow')
    """
    return IMAGE_OF_ACCELERATOR.get(accelerator) or IMAGE_OF_FRAMEWORK.get(framework, CORE)
