from collections.abc import Callable

import pytest

from tests.unit.embedded.sagemaker.jobs.training.requests import TRAINING_PRELUDE


@pytest.fixture
def trainer(build_image: Callable[..., str]) -> Callable[..., str]:
    """Registers an image whose entry point is the given Python text, which finds a training container's folders."""

    def build(code: str, *lines: str) -> str:
        return build_image(TRAINING_PRELUDE + code, *lines)

    return build
