"""The policy of another account's repository. ECR is stubbed: the embedded AWS has one account."""

import json
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber

from cli.doctor.findings import Level
from cli.doctor.images import image_findings
from cli.doctor.stage import DeployedStage

URI = "210987654321.dkr.ecr.eu-central-1.amazonaws.com/shared/scoring:1"
ROOT = "arn:aws:iam::123456789012:root"
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def found(policy: dict[str, Any] | None, media_type: str = MANIFEST) -> list[tuple[str, Level]]:
    ecr = boto3.client("ecr", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(ecr) as stub:
        details = [{"imageManifestMediaType": media_type, "imageSizeInBytes": 1}]
        stub.add_response("describe_images", {"imageDetails": details})
        if policy is None:
            stub.add_client_error("get_repository_policy", "RepositoryPolicyNotFoundException")
        else:
            statement = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": PULL, **policy}
            stub.add_response("get_repository_policy", {"policyText": json.dumps({"Statement": [statement]})})
        stage = SimpleNamespace(
            region="eu-central-1", account_id="123456789012", partition="aws", client=lambda _service: ecr
        )
        findings = list(image_findings(cast("DeployedStage", stage), "core", URI))
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)
    return [(finding.check, finding.level) for finding in findings]


def test_a_repository_that_shares_the_image_is_ready() -> None:
    assert found({}) == [("image.present", Level.OK), ("image.shared", Level.OK)]


@pytest.mark.parametrize(
    "policy", [None, {"Action": PULL[:1]}, {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, {"Effect": "Deny"}]
)
def test_a_repository_that_does_not_share_the_image_is_found(policy: dict[str, Any] | None) -> None:
    assert found(policy) == [("image.present", Level.OK), ("image.shared", Level.ERROR)]


def test_a_list_of_images_is_a_warning() -> None:
    assert found({}, INDEX)[0] == ("image.present", Level.WARNING)
