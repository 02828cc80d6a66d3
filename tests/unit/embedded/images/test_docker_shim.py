"""The stand-in for `docker` that the CDK CLI runs."""

import os
import subprocess
from pathlib import Path

import pytest

from embedded.cdk.node import Node
from embedded.images.docker_shim import IMAGES_VARIABLE, cdk_environment
from embedded.images.image_store import ImageStore
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.endpoint import Endpoint

URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/images:tag"


class Docker:
    """Calls the stand-in as the CDK CLI does."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        node = Node(Path("/usr/bin/node"), (22,))
        self.images = ImageStore(folder / "images")
        self.environment = cdk_environment(endpoint, folder / "images", node, folder / "bin")
        self.context = folder / "context"
        self.context.mkdir()
        (self.context / "run.py").write_text("print(1)\n")
        (self.context / "Dockerfile").write_text('FROM python:3.13-slim\nCOPY run.py /run.py\nENTRYPOINT ["python"]\n')

    def __call__(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.environment["CDK_DOCKER"], *arguments],
            cwd=self.context, env={**os.environ, **self.environment}, input=given, capture_output=True, text=True,
            check=False,
        )  # fmt: skip


@pytest.fixture
def docker(tmp_path: Path, aws: EmbeddedAws) -> Docker:
    return Docker(tmp_path, aws.endpoint)


def test_an_image_is_built_tagged_and_pushed_to_ecr(docker: Docker, aws: EmbeddedAws) -> None:
    login = docker("login", "--username", "AWS", "--password-stdin", "https://registry", given="password")
    assert login.returncode == 0, login.stderr
    assert docker("inspect", "cdkasset-1").returncode == 1
    built = docker("build", "--tag", "cdkasset-1", "--file", "Dockerfile", "--platform", "linux/amd64", ".")
    assert built.returncode == 0, built.stderr
    assert docker("inspect", "cdkasset-1").returncode == 0
    assert docker("tag", "cdkasset-1", URI).returncode == 0
    assert docker("push", URI).returncode == 0
    image = docker.images.resolve(URI)
    assert image is not None
    assert (image.root / "run.py").read_text() == "print(1)\n"
    found = aws.endpoint.client("ecr").describe_images(repositoryName="images", imageIds=[{"imageTag": "tag"}])
    assert [each["imageTags"] for each in found["imageDetails"]] == [["tag"]]


def test_build_arguments_are_applied_or_refused(docker: Docker) -> None:
    lines = "ARG KIND=small\nFROM python:3.13-slim AS small\nFROM small AS large\nCOPY run.py /run.py\nFROM ${KIND}\n"
    (docker.context / "Dockerfile").write_text(f'{lines}ARG KIND\nLABEL kind="$KIND"\nENTRYPOINT ["python"]\n')
    for kind, arguments in {"small": [], "large": ["--build-arg", "KIND=large"]}.items():
        built = docker("build", "--tag", kind, *arguments, ".")
        assert built.returncode == 0, built.stderr
        image = docker.images.resolve(kind)
        assert image is not None
        assert image.labels["kind"] == kind
        assert (image.root / "run.py").exists() == (kind == "large")
    refused = docker("build", "--tag", "other", "--build-arg", "SIZE=large", ".")
    assert refused.returncode == 1
    assert "the build argument 'SIZE' has no ARG" in refused.stderr


def test_an_unknown_option_is_refused_by_name(docker: Docker) -> None:
    result = docker("build", "--tag", "a", "--secret", "id=x", ".")
    assert result.returncode != 0
    assert "--secret" in result.stderr


def test_pushing_an_unknown_image_fails(docker: Docker) -> None:
    result = docker("push", URI)
    assert result.returncode == 1
    assert URI in result.stderr


def test_the_cdk_cli_gets_its_environment_variables(docker: Docker, aws: EmbeddedAws) -> None:
    assert docker.environment["AWS_ENDPOINT_URL"] == aws.endpoint.url
    assert docker.environment["CDK_DEFAULT_ACCOUNT"] == "123456789012"
    assert docker.environment[IMAGES_VARIABLE].endswith("images")
