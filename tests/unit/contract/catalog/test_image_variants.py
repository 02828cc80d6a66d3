from typing import get_args

from contract.catalog.image_variants import CORE, IMAGE_OF_FRAMEWORK, IMAGE_VARIANTS, image_of
from contract.catalog.model_formats import Framework


def test_every_framework_is_served_by_one_image() -> None:
    assert set(IMAGE_OF_FRAMEWORK) <= set(get_args(Framework))
    assert {image_of(framework) for framework in get_args(Framework)} == set(IMAGE_VARIANTS)


def test_what_is_not_heavy_is_in_the_core_image() -> None:
    assert image_of("sklearn") == image_of("xgboost") == CORE


def test_an_accelerator_decides_before_the_framework() -> None:
    assert image_of("catboost") == image_of("xgboost", "daal4py") == image_of("lightgbm", "daal4py") == "trees"
    assert image_of("lightgbm") == image_of("onnx") == image_of("custom") == CORE
