"""The locks pin the same versions for the command, the tests and the images."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    assert found
    return dict(found)


def test_image_installs_the_versions_that_the_embedded_aws_runs() -> None:
    root, image = pins("requirements.txt"), pins("inference_container/requirements.txt")
    assert {name: root.get(name) for name in image} == image


def test_tests_run_on_the_versions_that_users_get() -> None:
    root, test = pins("requirements.txt"), pins("requirements-test.txt")
    assert {name: test.get(name) for name in root} == root


@pytest.mark.parametrize("variant", ["trees", "tensorflow", "pytorch", "core-gpu", "tensorflow-gpu"])
def test_image_variants_keep_the_versions_of_the_core_image(variant: str) -> None:
    core, more = pins("inference_container/requirements.txt"), pins(f"inference_container/requirements-{variant}.txt")
    assert {name: core[name] for name in core.keys() & more.keys()} == {
        name: more[name] for name in core.keys() & more.keys()
    }


def test_heavy_frameworks_are_tested_on_the_versions_of_their_images() -> None:
    tested = pins("requirements-frameworks.txt")
    for name in ("inference_container/requirements.txt", "inference_container/requirements-tensorflow.txt"):
        image = pins(name)
        assert {package: tested.get(package) for package in image} == image
    assert "torch" not in tested
    torch = pins("inference_container/requirements-pytorch.txt")["torch"]
    assert f'pytorch = ["torch=={torch}"]' in (ROOT / "pyproject.toml").read_text()


def test_image_has_neither_boto3_nor_the_embedded_aws() -> None:
    assert not {"boto3", "botocore", "aws-cdk-lib", "ministack"} & set(pins("inference_container/requirements.txt"))
