"""Image variants run with the Python that is configured for them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import Aws, job_request, outputs_to, results, run
from tests.unit.embedded.sagemaker.conftest import ServiceMaker

BuildImage = Callable[..., str]
LABEL = 'LABEL fleetscore.variant="pytorch"'
WHICH = '(OUTPUT / "result/python.txt").write_text(os.environ["WHICH"] if "WHICH" in os.environ else "own")'


@pytest.fixture
def other_python(tmp_path: Path) -> str:
    """Return a Python that sets the variable WHICH, by which a job recognizes it."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nWHICH=other exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_an_image_variant_runs_with_its_python(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, prefix: str, other_python: str
) -> None:
    assert "WHICH" not in os.environ
    service = make_service(pythons={"pytorch": other_python})
    for lines, expected in (([LABEL], b"other"), ([], b"own")):
        place = f"{prefix}{expected.decode()}/"
        request = job_request(aws, build_image(WHICH, *lines), ProcessingOutputConfig=outputs_to(aws, place))
        described = run(service, request)
        assert described["ProcessingJobStatus"] == "Completed", described.get("FailureReason")
        assert results(aws, place) == {"python.txt": expected}


def test_a_variant_without_a_python_fails_with_the_remedy(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    described = run(service, job_request(aws, build_image(WHICH, LABEL)))
    assert described["ProcessingJobStatus"] == "Failed"
    assert "CannotStartContainerError" in described["FailureReason"]
    assert "EMBEDDED_AWS_PYTHONS=pytorch=/path/to/python" in described["FailureReason"]
