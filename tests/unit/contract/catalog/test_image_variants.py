from typing import get_args

from contract.catalog.image_variants import CORE, IMAGE_OF_FRAMEWORK, IMAGE_VARIANTS, image_of
from contract.catalog.model_formats import Framework


def test_every_framework_has_an_image_and_every_image_a_framework() -> None:
    assert set(IMAGE_OF_FRAMEWORK) <= set(get_args(Framework))
    assert {image_of(framework) for framework in get_args(Framework)} == set(IMAGE_VARIANTS)


def test_light_frameworks_are_in_the_core_image() -> None:
    assert image_of("sklearn") == image_of("xgboost") == CORE


def test_accelerator_takes_precedence_over_the_framework() -> None:
    assert image_of("catboost") == image_of("xgboost", "daal4py") == image_of("lightgbm", "daal4py") == "trees"
    assert image_of("lightgbm") == image_of("onnx") == image_of("custom") == CORE
