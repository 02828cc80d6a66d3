"""The examples in the docstrings run."""

import doctest

import pytest

from infra.sagemaker_tasks import checks, processing_job, training_job


@pytest.mark.parametrize("module", [checks, processing_job, training_job], ids=lambda module: module.__name__)
def test_docstring_examples_run(module: object) -> None:
    failed, attempted = doctest.testmod(module)  # type: ignore[arg-type]
    assert attempted > 0
    assert failed == 0
