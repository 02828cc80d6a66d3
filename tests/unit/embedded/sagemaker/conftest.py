"""A SageMaker service of the embedded AWS against real S3, Logs, KMS and IAM APIs in a process of their own."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from embedded.images.image_store import ImageStore
from embedded.sagemaker.instances.sandbox import probe
from embedded.sagemaker.service import SageMakerService
from embedded.server.endpoint import Endpoint
from tests.unit.embedded.sagemaker.account import ACCOUNT, DEADLINE_SECONDS, PRELUDE, REGION, Aws, allow


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """ministack on a free port with IAM enforced."""
    switches = {"AUTH": "true", "IOT_MTLS_ENABLED": "0", "MINISTACK_REGION": REGION, "LOG_LEVEL": "WARNING"}
    folder = tmp_path_factory.mktemp("ministack")
    switches |= {"STATE_DIR": str(folder / "state"), "S3_DATA_DIR": str(folder / "s3"), "TMPDIR": str(folder)}
    switches["AWS_ACCESS_KEY_ID"] = switches["AWS_SECRET_ACCESS_KEY"] = "test"
    process = subprocess.Popen(
        [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        env={**os.environ, **switches},
        cwd=folder,
        text=True,
    )
    assert process.stderr is not None
    with ThreadPoolExecutor(1) as drain:
        try:
            line = next(line for line in process.stderr if "Running on" in line)
            rest = drain.submit(process.stderr.read)
            address = re.search(r"http://[\d.]+:\d+", line)
            assert address is not None
            yield Endpoint(address[0], Path(os.devnull), REGION, ACCOUNT, "test", "test")
        finally:
            process.terminate()
            process.wait()
            rest.result(DEADLINE_SECONDS)
            process.stderr.close()


@pytest.fixture(scope="session")
def aws(endpoint: Endpoint) -> Aws:
    aws = Aws(endpoint, "jobs-data", "")
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": endpoint.region})
    aws.role_arn = aws.make_role(allow("s3:*", "logs:*"))
    return aws


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A place in the bucket that is this test's own."""
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


@pytest.fixture(params=["own-ml-root", "moved-ml-root"])
def any_service(request: pytest.FixtureRequest, make_service: ServiceMaker) -> SageMakerService:
    """A service in each of the two ways in which a job can get its /opt/ml."""
    if request.param == "own-ml-root" and not probe().own_ml_root:
        pytest.skip("this machine does not let a process have its own /opt/ml: root on Linux is needed")
    return make_service(own_ml_root=request.param == "own-ml-root")


@pytest.fixture
def service(make_service: ServiceMaker) -> SageMakerService:
    return make_service()


@pytest.fixture
def build_image(tmp_path: Path) -> Callable[..., str]:
    """Registers an image whose entry point is the given Python text, and returns its URI."""
    store = ImageStore(tmp_path / "images")

    def build(code: str, *lines: str) -> str:
        uri = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/test:{uuid.uuid4().hex[:8]}"
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
