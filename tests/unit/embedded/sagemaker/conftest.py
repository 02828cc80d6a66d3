"""SageMaker services in the test process that call a running embedded AWS."""

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import Isolation, IsolationKind
from embedded.images.image_store import ImageStore
from embedded.sagemaker.service import SageMakerService
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.launch import ACCOUNT_ID, REGION
from tests.unit.attacks import isolation_of_machine
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, PRELUDE, Aws, allow


@pytest.fixture(scope="session")
def aws(embedded_aws: EmbeddedAws) -> Aws:
    aws = Aws(embedded_aws.endpoint, "jobs-data", "")
    aws.client("s3").create_bucket(Bucket=aws.bucket)
    aws.role_arn = aws.make_role(allow("s3:*", "logs:*"))
    return aws


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Return a unique prefix in the bucket."""
    return f"{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())}-{uuid.uuid4().hex[:6]}/"


ServiceMaker = Callable[..., SageMakerService]


@pytest.fixture
def make_service(aws: Aws, tmp_path: Path) -> Iterator[ServiceMaker]:
    made: list[SageMakerService] = []

    def make(**options: Any) -> SageMakerService:
        arguments: dict[str, Any] = {
            "endpoint": aws.endpoint,
            "images": ImageStore(tmp_path / "images"),
            "root": tmp_path / f"sagemaker-{len(made)}",
            "credentials_for_role": aws.credentials,
            "max_running_instances": 2,
            "grace_seconds": DEADLINE_SECONDS,
        }
        made.append(SageMakerService(**{**arguments, **options}))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture(params=["namespaces", "landlock", "none"])
def any_isolation(request: pytest.FixtureRequest) -> Isolation:
    """Return each isolation of jobs that this machine permits."""
    if request.param == "none":
        return Isolation(IsolationKind.NONE, "for a test")
    return isolation_of_machine(request.param)


@pytest.fixture
def any_service(any_isolation: Isolation, make_service: ServiceMaker) -> SageMakerService:
    """Return a service that isolates jobs in each way that this machine permits."""
    return make_service(isolation=any_isolation)


@pytest.fixture
def service(make_service: ServiceMaker) -> SageMakerService:
    return make_service()


@pytest.fixture
def build_image(tmp_path: Path) -> Callable[..., str]:
    """Register an image that runs the given Python code, and return its URI."""
    store = ImageStore(tmp_path / "images")

    def build(code: str, *lines: str) -> str:
        uri = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/test:{uuid.uuid4().hex[:8]}"
        context = tmp_path / uuid.uuid4().hex
        context.mkdir()
        (context / "main.py").write_text(PRELUDE + code, encoding="utf-8")
        text = ["FROM python:3.11-slim", "COPY main.py /opt/program/", *lines]
        (context / "Dockerfile").write_text(
            "\n".join([*text, 'ENTRYPOINT ["python3", "/opt/program/main.py"]']), encoding="utf-8"
        )
        store.register(uri, context)
        return uri

    return build
