"""The locks agree: what the laptop runs is what the image installs."""

import re
from pathlib import Path

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


def test_image_leaves_out_what_the_container_must_not_have() -> None:
    assert not {"boto3", "botocore", "aws-cdk-lib", "ministack"} & set(pins("inference_container/requirements.txt"))
