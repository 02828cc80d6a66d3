from collections.abc import Callable

import pytest

from tests.unit.embedded.sagemaker.jobs.training.requests import TRAINING_PRELUDE


@pytest.fixture
def trainer(build_image: Callable[..., str]) -> Callable[..., str]:
    """Register an image that runs the given Python code in a training container."""

    def build(code: str, *lines: str) -> str:
        return build_image(TRAINING_PRELUDE + code, *lines)

    return build
